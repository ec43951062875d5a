#include "appliance/front/preparations.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/plan_store.h"
#include "appliance/plan/plan_families.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/x509/pem.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxSmallFile = 64 * 1024;

SePreparePlan order_plan(Context& context, const OrderOptions& options) {
  const Registry registry = context.ledger().registry();
  const KnownSource* source = registry.source(options.preparer);
  if (source == nullptr || source->kind != "preparation") {
    throw Error{Code::Refused, fmt::format("no preparer \"{}\" is enrolled", printable(options.preparer)),
                "keyferry-appliance source add NAME --kind preparation --public-key HEX"};
  }
  const KnownVendorKey* vendor = registry.vendor_key(options.vendor);
  if (vendor == nullptr || vendor->destroyed || vendor->public_key.empty()) {
    throw Error{Code::Refused, fmt::format("there is no RSA vendor key \"{}\"", printable(options.vendor)),
                "keyferry-appliance vendor-key create NAME --mechanism rsa-oaep-sha256"};
  }
  const auto profile = parse_atecc608_profile(read_file(options.profile, kMaxSmallFile));
  if (const auto* refusal = std::get_if<Refusal>(&profile)) throw to_error(*refusal);
  SePreparePlan plan{.preparer = options.preparer,
                     .part = options.part,
                     .lot = options.lot,
                     .key_name = options.key_name,
                     .count = options.count,
                     .vendor = vendor->name,
                     .mechanism = vendor->mechanism,
                     .vendor_public_key = vendor->public_key,
                     .secure_boot_key = {},
                     .profile = std::get<se::Atecc608Profile>(profile)};
  if (options.secure_boot_key) plan.secure_boot_key = point_in_pem(*options.secure_boot_key);
  return plan;
}

std::filesystem::path order_file(Context& context, const Plan& plan) {
  return context.paths().home / "orders" / fmt::format("{:04}.order", plan.number);
}

int tell_order(Context& context, const Plan& plan, const std::string& order) {
  const auto& detail = std::get<SePreparePlan>(plan.detail);
  const auto opened = token::open_preparation_order(as_bytes(order));
  if (const auto* refusal = std::get_if<Refusal>(&opened)) throw to_error(*refusal);
  const std::filesystem::path file = order_file(context, plan);
  make_private_directory(file.parent_path());
  KF_CUT("front.se-order.before");
  write_file_durably(file, as_bytes(order), Overwrite::Replace);
  context.out().result("se-order",
                       Json{{"order", file.string()},
                            {"digest", plan.digest.hex()},
                            {"preparer", detail.preparer},
                            {"count", detail.count}},
                       {fmt::format("order for up to {} chips, for preparer \"{}\"", detail.count, detail.preparer),
                        fmt::format("file         {}", file.string()),
                        fmt::format("plan digest  {}", plan.digest.hex()),
                        "in the secure room: keyferry-prepare accept FILE"});
  return 0;
}

Refusal no(std::string reason, std::string text) {
  return {std::move(reason), std::move(text), "ask the secure room what it sent"};
}

std::optional<Refusal> check_receipt(const token::PreparationReceipt& receipt, const Plan& plan, const SePreparePlan& order) {
  if (environment_name(plan.environment) != token::name_of(receipt.environment))
    return no("environment", "the receipt is of another environment than its order");
  if (receipt.time > plan.expires) return no("order", "the chip was prepared after its order had ended");
  if (receipt.part != order.part || receipt.lot != order.lot || receipt.key_name != order.key_name ||
      receipt.vendor != order.vendor) {
    return no("order", "part, lot, key name or vendor key of the receipt is not the order's");
  }
  if (receipt.attestation_key.has_value() != order.profile.attestation_slot.has_value())
    return no("order", "an attestation key was ordered and is missing, or the other way round");
  return std::nullopt;
}

/// An order like this one that was approved and run, and whose file a cut kept from being written.
std::optional<Plan> unwritten_order(Context& context, const SePreparePlan& wanted) {
  for (const Bytes& octets : PlanStore{context.ledger()}.run_plans(Operation::SePrepare)) {
    auto parsed = parse_plan(octets);
    auto* plan = std::get_if<Plan>(&parsed);
    if (plan != nullptr && !is_order_written(context, *plan) && std::get<SePreparePlan>(plan->detail) == wanted)
      return std::move(*plan);
  }
  return std::nullopt;
}

}  // namespace

Bytes point_in_pem(const std::filesystem::path& file) {
  const auto blocks = x509::from_pem(as_chars(read_file(file, kMaxSmallFile)), x509::kPemPublicKey);
  if (const auto* refusal = std::get_if<Refusal>(&blocks)) throw to_error(*refusal);
  const auto& found = std::get<std::vector<Bytes>>(blocks);
  const auto key = found.size() == 1 ? crypto::PublicKey::from_spki(found.front()) : std::nullopt;
  if (!key) throw Error{Code::Usage, file.string() + " is not one P-256 public key in PEM"};
  return to_bytes(key->point());
}

bool is_order_written(Context& context, const Plan& plan) { return std::filesystem::exists(order_file(context, plan)); }

int se_order(Context& context, const OrderOptions& options) {
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const SePreparePlan wanted = order_plan(context, options);
  if (const auto plan = unwritten_order(context, wanted)) return run_se_prepare(context, *plan, {});
  const ApprovedPlan approved = approve_operation(context, Operation::SePrepare, wanted);
  return run_se_prepare(context, approved.plan, approved.approvals);
}

int run_se_prepare(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  const v1::GateReply reply = run_at_gate(context, plan, approvals);
  return tell_order(context, plan, reply.done().made());
}

std::variant<PreparedChip, Refusal> chip_of_receipt(std::string_view line, const ReceiptTerms& terms) {
  const auto octets = token::parse_preparation_line(line);
  if (const auto* refusal = std::get_if<Refusal>(&octets)) return *refusal;
  const auto opened =
      token::open_preparation_receipt(std::get<token::SignedBytes>(octets), terms.preparer);
  if (const auto* refusal = std::get_if<Refusal>(&opened)) return *refusal;
  const auto& receipt = std::get<token::PreparationReceipt>(opened);
  if (receipt.appliance_id != terms.appliance) return no("appliance", "the receipt is for another appliance");
  const auto plan = terms.order_of(receipt.plan_digest);
  const auto* order = plan ? std::get_if<SePreparePlan>(&plan->detail) : nullptr;
  if (order == nullptr || order->preparer != terms.source)
    return no("order", "the receipt names no order that was given to this preparer");
  if (auto refusal = check_receipt(receipt, *plan, *order)) return std::move(*refusal);
  const auto serial = se::normalise_serial(se::Family::Atecc608, receipt.serial);
  if (const auto* refusal = std::get_if<Refusal>(&serial)) return *refusal;
  PreparedChip chip{.entry = {.family = se::Family::Atecc608,
                              .serial = std::get<SeSerial>(serial),
                              .part = receipt.part,
                              .lot = receipt.lot,
                              .key_name = receipt.key_name,
                              .device_serial = "",
                              .generation = 1,
                              .transport_kind = se::TransportKind::Delivered,
                              .transport_name = receipt.vendor,
                              .transport_data = receipt.delivered,
                              .attestation_key = receipt.attestation_key},
                    .check_value = receipt.check_value,
                    .order = receipt.plan_digest,
                    .order_count = order->count};
  if (auto refusal = se::check_entry(chip.entry)) return std::move(*refusal);
  return chip;
}

}  // namespace keyferry::appliance
