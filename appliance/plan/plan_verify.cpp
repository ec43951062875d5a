#include "appliance/plan/plan_verify.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "wrap/base/words.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kTable = "verify";

constexpr std::array kChainTimes{
    std::pair{ChainTime::Now, std::string_view{"now"}},
    std::pair{ChainTime::Issuing, std::string_view{"issuing"}},
};

std::string time_sentence(const BatchPlan& plan) {
  if (!plan.verify || plan.verify->chain_time == ChainTime::Now) {
    const std::uint32_t skew = plan.verify ? plan.verify->clock_skew_s : 0;
    return skew == 0 ? std::string{"Certificates must be valid by the station's clock."}
                     : fmt::format("Certificates must be valid by the station's clock, which may be "
                                   "wrong by {} seconds.",
                                   skew);
  }
  return fmt::format("Certificates must be valid at {}: the station's clock is not asked.",
                     to_rfc3339(plan.not_before));
}

}  // namespace

std::string_view chain_time_name(ChainTime time) {
  for (const auto& [known, name] : kChainTimes) {
    if (known == time) return name;
  }
  throw Error{Code::Internal, "a time without a name"};
}

std::optional<ChainTime> chain_time_from_name(std::string_view name) {
  for (const auto& [time, known] : kChainTimes) {
    if (known == name) return time;
  }
  return std::nullopt;
}

std::optional<VerifyPlan> read_verify(PlanFields& fields, bool with_firmware) {
  if (!fields.has_section(kTable)) return std::nullopt;
  fields.enter(kTable);
  VerifyPlan plan;
  const auto time = chain_time_from_name(fields.text("chain_time", 16));
  if (!time) fields.refuse("chain_time", "is neither now nor issuing");
  plan.chain_time = time.value_or(ChainTime::Now);
  if (plan.chain_time == ChainTime::Now) {
    plan.clock_skew_s =
        static_cast<std::uint32_t>(fields.integer("clock_skew_s", 0, kMaxClockSkewSeconds));
  }
  if (fields.has("secure_boot_key_sha256")) {
    plan.secure_boot_key_sha256 = fields.id<Digest>("secure_boot_key_sha256");
    if (!with_firmware)
      fields.refuse("secure_boot_key_sha256", "verifies nothing: the plan names no firmware image");
  }
  return plan;
}

std::string verify_text(const VerifyPlan& plan) {
  std::string text =
      fmt::format("[{}]\nchain_time = \"{}\"\n", kTable, chain_time_name(plan.chain_time));
  if (plan.chain_time == ChainTime::Now)
    text += fmt::format("clock_skew_s = {}\n", plan.clock_skew_s);
  if (plan.secure_boot_key_sha256)
    text += fmt::format("secure_boot_key_sha256 = \"{}\"\n", plan.secure_boot_key_sha256->hex());
  return text;
}

std::vector<std::string> verify_sentences(const BatchPlan& plan) {
  std::vector<std::string> lines;
  lines.push_back(
      fmt::format("Each device must pass at the line: the chain read back from its SE, the answer to "
                  "its record's challenge, the certificate's serial in this batch{}.",
                  plan.firmware_sha256 ? ", the signature of the firmware image" : ""));
  lines.push_back(time_sentence(plan));
  lines.push_back(plan.firmware_sha256
                      ? fmt::format("Each device's firmware must be the image {}.",
                                    plan.firmware_sha256->hex())
                      : std::string{"No firmware image is checked in this batch."});
  if (plan.verify && plan.verify->secure_boot_key_sha256) {
    lines.push_back(fmt::format("Its signature must be by the secure-boot key that reads in words: {}.",
                                key_words(plan.verify->secure_boot_key_sha256->bytes())));
  }
  if (!plan.verify)
    lines.emplace_back("Receipts need not bring what these verdicts rest on: a plan of an older form.");
  return lines;
}

}  // namespace keyferry::appliance
