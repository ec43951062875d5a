// What an import tells the appliance's log: typed leaves together with what they do in the ledger,
// in one step each.
#pragma once

#include <string>
#include <vector>

#include "appliance/front/receipts_check.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {

class Context;

/// Carries out the staged import, if there is one: piece by piece, leaves first. Returns what it
/// was.
std::optional<ImportRow> carry_out_staged(Context& context);

/// One incident as a leaf and a row; nothing when the same one is known.
void report_incident(Context& context, const Incident& incident);

struct RefusedFile {
  std::string name;  // on the token; printable
  Refusal refusal;
};

/// Refusals of one run: one leaf for each reason, with how many and the first one's name.
void report_refused_files(Context& context, const std::vector<RefusedFile>& files);

}  // namespace keyferry::appliance
