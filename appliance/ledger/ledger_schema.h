// The ledger's schema, compiled in from the .sql files beside (deploy/cmake/embed_sql.cmake).
#pragma once

#include <span>

#include "wrap/store/database.h"

namespace keyferry::appliance {

[[nodiscard]] std::span<const store::Migration> ledger_migrations();

}  // namespace keyferry::appliance
