#include "station-agent/record_state.h"

#include <utility>

namespace keyferry::station {
namespace {

constexpr std::array kStateNames{
    std::pair{RecordState::Loaded, std::string_view{"loaded"}},
    std::pair{RecordState::Injecting, std::string_view{"injecting"}},
    std::pair{RecordState::Doubtful, std::string_view{"doubtful"}},
    std::pair{RecordState::Injected, std::string_view{"injected"}},
    std::pair{RecordState::Quarantined, std::string_view{"quarantined"}},
    std::pair{RecordState::Returned, std::string_view{"returned"}},
};

}  // namespace

std::string_view record_state_name(RecordState state) {
  for (const auto& [known, name] : kStateNames) {
    if (known == state) return name;
  }
  return {};
}

std::optional<RecordState> record_state_from_name(std::string_view name) {
  for (const auto& [state, known] : kStateNames) {
    if (known == name) return state;
  }
  return std::nullopt;
}

std::string_view record_event_name(RecordEvent event) {
  switch (event) {
    case RecordEvent::Intended:
      return "intended";
    case RecordEvent::CutOff:
      return "cut-off";
    case RecordEvent::FoundEmpty:
      return "found-empty";
    case RecordEvent::FoundKey:
      return "found-key";
    case RecordEvent::ReceiptSigned:
      return "receipt-signed";
    case RecordEvent::Failed:
      return "failed";
    case RecordEvent::GivenBack:
      return "given-back";
  }
  return {};
}

}  // namespace keyferry::station
