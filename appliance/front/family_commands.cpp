#include "appliance/front/family_commands.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {

int family_enable(Context& context, const std::string& name, const std::string& reason) {
  const auto family = se::family_from_name(name);
  if (!family) throw Error{Code::Usage, fmt::format("\"{}\" is no family", printable(name))};
  if (const auto refusal = se::unsupported(*family)) throw to_error(*refusal);
  if (!se::needs_plaintext(*family))
    throw Error{Code::Usage, fmt::format("family {} is always on: no process sees its keys", name)};
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const bool done_before = context.ledger().registry().enabled(*family);
  if (!done_before)
    run_operation(context, Operation::FamilyEnable, FamilyEnablePlan{*family, reason});
  context.out().result(
      "family",
      Json{{"family", name}, {"enabled", true}, {"done_before", done_before}},
      {fmt::format("family {} is enabled{}: workers see its device keys, one record at a time",
                   name,
                   done_before ? " already" : "")});
  return 0;
}

}  // namespace keyferry::appliance
