// The schema of the station's store: schema/*.sql, embedded by the build.
#pragma once

#include <span>

#include "wrap/store/database.h"

namespace keyferry::station {

inline constexpr std::int32_t kApplicationId = store::application_id("KFst");

[[nodiscard]] std::span<const store::Migration> station_migrations();

}  // namespace keyferry::station
