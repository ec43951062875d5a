#include "token/audit-tool/findings.h"

#include <utility>

namespace keyferry::audit_tool {

std::string_view name_of(Check check) {
  switch (check) {
    case Check::Files:
      return "files";
    case Check::Identity:
      return "identity";
    case Check::Log:
      return "log";
    case Check::Approvals:
      return "approvals";
    case Check::Keys:
      return "keys";
    case Check::Certificates:
      return "certificates";
    case Check::Receipts:
      return "receipts";
    case Check::Conservation:
      return "conservation";
    case Check::Custody:
      return "custody";
    case Check::Freshness:
      return "freshness";
  }
  return "";
}

void Findings::add(Check check, std::string code, std::string subject, std::string text) {
  add(check, bundle::Fault{std::move(code), std::move(subject), std::move(text)});
}

void Findings::add(Check check, const bundle::Fault& fault) {
  ++count_;
  ++by_check_.at(static_cast<std::size_t>(check));
  if (kept_.size() < kKept) kept_.push_back({check, fault});
}

void Findings::add(Check check, const std::string& subject, const Refusal& refusal) {
  add(check, refusal.reason, subject, refusal.text);
}

}  // namespace keyferry::audit_tool
