// What can become of a token between its enrolment and its end: one table (style.md section 7). Names are those of
// the ledger's columns and of the signed statements.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keyferry::appliance {

enum class CustodyState : std::uint8_t {
  None,     // not enrolled
  Here,     // at the appliance, inspected
  Out,      // handed to somebody
  Back,     // came back and was not looked at yet
  Retired,  // used no more
  Lost
};
enum class CustodyEvent : std::uint8_t { Enrolled, HandedOut, Returned, Inspected, Retired, Lost };

struct CustodyRule {
  CustodyState from;
  CustodyEvent event;
  CustodyState to;
};

inline constexpr std::array kCustodyRules{
    CustodyRule{CustodyState::None, CustodyEvent::Enrolled, CustodyState::Here},
    CustodyRule{CustodyState::Here, CustodyEvent::Inspected, CustodyState::Here},
    CustodyRule{CustodyState::Here, CustodyEvent::HandedOut, CustodyState::Out},
    CustodyRule{CustodyState::Here, CustodyEvent::Retired, CustodyState::Retired},
    CustodyRule{CustodyState::Here, CustodyEvent::Lost, CustodyState::Lost},
    CustodyRule{CustodyState::Out, CustodyEvent::HandedOut, CustodyState::Out},  // from hand to hand
    CustodyRule{CustodyState::Out, CustodyEvent::Returned, CustodyState::Back},
    CustodyRule{CustodyState::Out, CustodyEvent::Lost, CustodyState::Lost},
    CustodyRule{CustodyState::Back, CustodyEvent::Inspected, CustodyState::Here},
    CustodyRule{CustodyState::Back, CustodyEvent::Retired, CustodyState::Retired},
    CustodyRule{CustodyState::Back, CustodyEvent::Lost, CustodyState::Lost},
    CustodyRule{CustodyState::Lost, CustodyEvent::Returned, CustodyState::Back},  // it turned up
};

[[nodiscard]] constexpr std::optional<CustodyState> next(CustodyState from, CustodyEvent event) {
  for (const CustodyRule& rule : kCustodyRules) {
    if (rule.from == from && rule.event == event) return rule.to;
  }
  return std::nullopt;
}

static_assert(!next(CustodyState::Back, CustodyEvent::HandedOut), "what came back is looked at before it goes again");
static_assert(!next(CustodyState::Retired, CustodyEvent::HandedOut), "a retired token does not leave again");

struct CustodyStateName {
  CustodyState state;
  std::string_view name;
};

struct CustodyEventName {
  CustodyEvent event;
  std::string_view name;
};

inline constexpr std::array kCustodyStateNames{
    CustodyStateName{CustodyState::None, "none"},       CustodyStateName{CustodyState::Here, "here"},
    CustodyStateName{CustodyState::Out, "out"},         CustodyStateName{CustodyState::Back, "back"},
    CustodyStateName{CustodyState::Retired, "retired"}, CustodyStateName{CustodyState::Lost, "lost"},
};

inline constexpr std::array kCustodyEventNames{
    CustodyEventName{CustodyEvent::Enrolled, "enrolled"}, CustodyEventName{CustodyEvent::HandedOut, "handed-out"},
    CustodyEventName{CustodyEvent::Returned, "returned"}, CustodyEventName{CustodyEvent::Inspected, "inspected"},
    CustodyEventName{CustodyEvent::Retired, "retired"},   CustodyEventName{CustodyEvent::Lost, "lost"},
};

[[nodiscard]] constexpr std::string_view state_name(CustodyState state) {
  for (const auto& row : kCustodyStateNames) {
    if (row.state == state) return row.name;
  }
  return "";
}

[[nodiscard]] constexpr std::optional<CustodyState> custody_state_from_name(std::string_view name) {
  for (const auto& row : kCustodyStateNames) {
    if (row.name == name) return row.state;
  }
  return std::nullopt;
}

[[nodiscard]] constexpr std::string_view event_name(CustodyEvent event) {
  for (const auto& row : kCustodyEventNames) {
    if (row.event == event) return row.name;
  }
  return "";
}

}  // namespace keyferry::appliance
