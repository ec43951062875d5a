// What the commands that end something share: the id that is typed again, batches by name, lists of records.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "appliance/front/context.h"
#include "appliance/ledger/ends_store.h"

namespace keyferry::appliance {

/// What cannot be undone asks the person to type the id. Error{Refused} when it is another text.
void need_typed(Context& context, const std::string& confirm, const std::string& id, std::string_view what);

[[nodiscard]] BatchRow ended_batch(Context& context, std::string_view text);

/// CSV with a line for each outstanding record, by name: written durably. Returns how many there are.
std::uint64_t write_records(Context& context, const std::vector<BatchId>& batches, const std::filesystem::path& file);

/// `authorities`: of the certificates that were revoked; what is to be done next differs for outside ones.
[[nodiscard]] std::string revocation_hint(Context& context, const std::vector<std::string>& authorities);

}  // namespace keyferry::appliance
