#include "appliance/front/key_commands.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "appliance/front/setup_commands.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/pem.h"

namespace keyferry::appliance {
namespace {

Bytes read_check_value(const std::string& text) {
  const auto value = from_hex(text);
  if (value && value->size() == kCheckValueBytes) return *value;
  throw Error{Code::Usage,
              "--check-value: 32 hex digits",
              "the vendor computes it beside the key: README, Transport keys"};
}

std::vector<Bytes> read_components(Context& context) {
  std::vector<Bytes> values;
  for (const std::string& text : context.options().component_check_values) values.push_back(read_check_value(text));
  return values;
}

/// A name that is taken by something else, reported to the log.
[[noreturn]] void refuse_taken(Context& context,
                               std::string_view what,
                               const std::string& name,
                               std::string text) {
  const Refusal refusal{"name-taken", std::move(text), "choose another name"};
  context.gate().report_refused(what, refusal, name);
  throw to_error(refusal);
}

/// The name of a key that officers destroyed is used up.
template <typename Known>
void refuse_destroyed(Context& context, std::string_view what, const std::string& name, const Known* known) {
  if (known != nullptr && known->destroyed)
    refuse_taken(context, what, name, fmt::format("key \"{}\" was destroyed", name));
}

std::string already(bool done_before) {
  return done_before ? "is there already" : "imported";
}

void tell_imported(Context& context,
                   std::string_view noun,
                   const std::string& label,
                   Json json,
                   const Bytes& check_value,
                   bool done_before) {
  json["check_value"] = to_hex(check_value);
  json["done_before"] = done_before;
  context.out().result(noun,
                       json,
                       {fmt::format("{} {}", label, already(done_before)),
                        fmt::format("check value  {}", to_hex(check_value)),
                        "destroy every other copy of the key that is not needed any more"});
}

/// Writes the public half for the vendor and tells.
int tell_vendor_key(Context& context,
                    const std::string& name,
                    const std::string& mechanism,
                    bool done_before) {
  const Registry registry = context.ledger().registry();
  const KnownVendorKey* key = registry.vendor_key(name);
  if (key == nullptr)
    throw Error{Code::Internal, "the registry lacks the vendor key that was just made"};
  if (key->mechanism != mechanism) {
    refuse_taken(context,
                 "vendor-key-create",
                 name,
                 fmt::format("vendor key \"{}\" is there with {}", name, key->mechanism));
  }
  make_private_directory(context.paths().vendor());
  const std::filesystem::path file = context.paths().vendor() / (name + ".pem");
  write_file_durably(
      file, as_bytes(x509::to_pem(x509::kPemPublicKey, key->public_key)), Overwrite::Replace);
  const Digest fingerprint = crypto::sha256(key->public_key);
  context.out().result(
      "vendor-key",
      Json{{"name", name},
           {"mechanism", key->mechanism},
           {"public_key", file.string()},
           {"sha256", fingerprint.hex()},
           {"words", key_words(fingerprint.bytes())},
           {"done_before", done_before}},
      {fmt::format("vendor key kf-vendor/{} ({}) {}",
                   name,
                   key->mechanism,
                   done_before ? "is there already" : "made"),
       fmt::format("public key   {}", file.string()),
       fmt::format("its SHA-256  {}", fingerprint.hex()),
       fmt::format("in words     {}", key_words(fingerprint.bytes())),
       "the vendor reads the words back over another channel before it wraps anything"});
  return 0;
}

}  // namespace

int transport_master_import(Context& context, const KeyImportOptions& options) {
  need_name(options.name);
  const Bytes check_value = read_check_value(options.check_value);
  if (options.kdf != "kf-kdf-1" && options.kdf != "kf-kdf-2")
    throw Error{Code::Usage, "--kdf: kf-kdf-1 or kf-kdf-2"};
  const se::Family family = read_master_family(options.family);
  if (way_of(context, Operation::TransportMasterImport) == Way::ByPlanFile) context.expect_plan_file();
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const Registry registry = context.ledger().registry();
  const KnownMaster* known = registry.master(options.name);
  refuse_destroyed(context, "transport-master-import", options.name, known);
  if (known != nullptr && (known->kdf != options.kdf || known->check_value != check_value || known->family != family)) {
    refuse_taken(context,
                 "transport-master-import",
                 options.name,
                 fmt::format("transport-key master \"{}\" is there with {}, check value {} and family {}",
                             options.name,
                             known->kdf,
                             to_hex(known->check_value),
                             se::family_name(known->family)));
  }
  if (known == nullptr) {
    run_operation(context,
                  Operation::TransportMasterImport,
                  TransportMasterImportPlan{
                      options.name, options.kdf, check_value, read_components(context), family});
  }
  tell_imported(context,
                "transport-master",
                fmt::format("transport-key master kf-tk/{} ({})", options.name, options.kdf),
                Json{{"name", options.name}, {"kdf", options.kdf}, {"family", options.family}},
                check_value,
                known != nullptr);
  return 0;
}

int vendor_key_import(Context& context, const KeyImportOptions& options) {
  need_name(options.name);
  const Bytes check_value = read_check_value(options.check_value);
  if (way_of(context, Operation::VendorKeyImport) == Way::ByPlanFile) context.expect_plan_file();
  static_cast<void>(context.gate());
  const Registry registry = context.ledger().registry();
  const KnownVendorKey* known = registry.vendor_key(options.name);
  refuse_destroyed(context, "vendor-key-import", options.name, known);
  if (known != nullptr && known->check_value != check_value) {
    refuse_taken(
        context,
        "vendor-key-import",
        options.name,
        fmt::format(
            "vendor key \"{}\" is there ({}) and is another one", options.name, known->mechanism));
  }
  if (known == nullptr) {
    run_operation(context,
                  Operation::VendorKeyImport,
                  VendorKeyImportPlan{options.name, "aes-kwp", check_value, read_components(context)});
  }
  tell_imported(context,
                "vendor-key",
                fmt::format("vendor key kf-vendor/{} (aes-kwp)", options.name),
                Json{{"name", options.name}, {"mechanism", "aes-kwp"}},
                check_value,
                known != nullptr);
  return 0;
}

int vendor_key_create(Context& context, const VendorKeyOptions& options) {
  need_name(options.name);
  static_cast<void>(context.gate());
  const Registry before = context.ledger().registry();
  refuse_destroyed(context, "vendor-key-create", options.name, before.vendor_key(options.name));
  const bool done_before = before.vendor_key(options.name) != nullptr;
  if (!done_before) {
    run_operation(context,
                  Operation::VendorKeyCreate,
                  VendorKeyCreatePlan{options.name, options.mechanism, options.bits});
  }
  return tell_vendor_key(context, options.name, options.mechanism, done_before);
}

int run_vendor_key_create(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  static_cast<void>(run_at_gate(context, plan, approvals));
  const auto& detail = std::get<VendorKeyCreatePlan>(plan.detail);
  return tell_vendor_key(context, detail.name, detail.mechanism, false);
}

}  // namespace keyferry::appliance
