// Details of the plans that hold, end or revoke something: reading, text, sentences, subject. For
// plan.cpp alone.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] BatchSuspendPlan read_batch_suspend(PlanFields& fields);
[[nodiscard]] BatchResumePlan read_batch_resume(PlanFields& fields);
[[nodiscard]] BatchClosePlan read_batch_close(PlanFields& fields);
[[nodiscard]] TokenLostPlan read_token_lost(PlanFields& fields);
[[nodiscard]] QuarantineReleasePlan read_quarantine_release(PlanFields& fields);
[[nodiscard]] CrlIssuePlan read_crl_issue(PlanFields& fields);
[[nodiscard]] StationRetirePlan read_station_retire(PlanFields& fields);
[[nodiscard]] CaRetirePlan read_ca_retire(PlanFields& fields);
[[nodiscard]] HsmDestroyKeyPlan read_destroy_key(PlanFields& fields);

[[nodiscard]] std::string detail_text(const BatchSuspendPlan& plan);
[[nodiscard]] std::string detail_text(const BatchResumePlan& plan);
[[nodiscard]] std::string detail_text(const BatchClosePlan& plan);
[[nodiscard]] std::string detail_text(const TokenLostPlan& plan);
[[nodiscard]] std::string detail_text(const QuarantineReleasePlan& plan);
[[nodiscard]] std::string detail_text(const CrlIssuePlan& plan);
[[nodiscard]] std::string detail_text(const StationRetirePlan& plan);
[[nodiscard]] std::string detail_text(const CaRetirePlan& plan);
[[nodiscard]] std::string detail_text(const HsmDestroyKeyPlan& plan);

[[nodiscard]] std::vector<std::string> detail_sentences(const BatchSuspendPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const BatchResumePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const BatchClosePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const TokenLostPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const QuarantineReleasePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const CrlIssuePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const StationRetirePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const CaRetirePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const HsmDestroyKeyPlan& plan);

[[nodiscard]] std::string detail_subject(const BatchSuspendPlan& plan);
[[nodiscard]] std::string detail_subject(const BatchResumePlan& plan);
[[nodiscard]] std::string detail_subject(const BatchClosePlan& plan);
[[nodiscard]] std::string detail_subject(const TokenLostPlan& plan);
[[nodiscard]] std::string detail_subject(const QuarantineReleasePlan& plan);
[[nodiscard]] std::string detail_subject(const CrlIssuePlan& plan);
[[nodiscard]] std::string detail_subject(const StationRetirePlan& plan);
[[nodiscard]] std::string detail_subject(const CaRetirePlan& plan);
[[nodiscard]] std::string detail_subject(const HsmDestroyKeyPlan& plan);

}  // namespace keyferry::appliance
