// Plan files: whatever parses must read back from its own text.
#include <cstdlib>

#include "appliance/plan/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using keyferry::appliance::Plan;
  const auto parsed = keyferry::appliance::parse_plan({data, size});
  if (const auto* plan = std::get_if<Plan>(&parsed)) {
    const std::string text = keyferry::appliance::plan_text(*plan);
    const auto again = keyferry::appliance::parse_plan(keyferry::as_bytes(text));
    if (!std::holds_alternative<Plan>(again)) std::abort();
    static_cast<void>(keyferry::appliance::plan_sentences(*plan));
  }
  return 0;
}
