// What secure rooms have to do with the front end: `se order` (an approved se-prepare plan becomes
// a signed order), and the rows of their receipts.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "appliance/ledger/registry.h"
#include "appliance/plan/plan.h"
#include "token/preparation.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {

class Context;

struct OrderOptions {
  std::string preparer;
  std::string vendor;
  std::filesystem::path profile;  // a file with the table [atecc608]
  std::uint32_t count = 0;
  std::string part = "ATECC608B";
  std::string lot;
  std::string key_name = "dac";
  std::optional<std::filesystem::path> secure_boot_key;  // P-256 public key, PEM
};

/// Writes HOME/orders/NNNN.order. The same again after a cut writes the one that was approved and run.
int se_order(Context& context, const OrderOptions& options);

/// The 65 octets of a file that holds one P-256 public key in PEM; Error{Usage} otherwise.
[[nodiscard]] Bytes point_in_pem(const std::filesystem::path& file);

[[nodiscard]] bool is_order_written(Context& context, const Plan& plan);

/// `plan run` of se-prepare: as the end of se_order. Of a plan that was run before the gate signs the same order again.
int run_se_prepare(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

/// The plan with that digest that was run here, if it is an order.
using OrderOf = std::function<std::optional<Plan>(const Digest& plan_digest)>;

/// What every receipt of a file must fit.
struct ReceiptTerms {
  std::string source;
  crypto::PublicKey preparer;
  ApplianceId appliance;
  OrderOf order_of;
};

/// What a receipt says of a chip.
struct PreparedChip {
  se::Entry entry;
  Bytes check_value;  // 16, of the transport key that the room put into the chip
  Digest order;       // plan digest
  std::uint32_t order_count = 0;
};

/// A line of a file of receipts as an inventory entry. Refusals: those of
/// token::parse_preparation_line and open_preparation_receipt, and "order" (not one of ours, the
/// receipt says otherwise than it or came after its end), "appliance", "environment", and se::check_entry's.
[[nodiscard]] std::variant<PreparedChip, Refusal> chip_of_receipt(std::string_view line, const ReceiptTerms& terms);

}  // namespace keyferry::appliance
