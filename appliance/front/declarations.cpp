#include "appliance/front/declarations.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/ledger/plan_store.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/declaration.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

fs::path kept_file(Context& context, const Digest& sha256) {
  return context.paths().home / "declarations" / (sha256.hex() + ".der");
}

/// Nothing when it is not there, or is another one by now.
std::optional<Bytes> kept(Context& context, const Digest& sha256) {
  auto octets = read_file_if_exists(kept_file(context, sha256), x509::kMaxDeclarationBytes);
  if (!octets || crypto::sha256(*octets) != sha256) return std::nullopt;
  return octets;
}

std::optional<Refusal> check_ids(ByteView cms, const x509::DeviceTemplate& device, ByteView paa_key_identifier) {
  if (!device.matter.vendor_id || !device.matter.product_id)
    return Refusal{"declaration-vendor", "the template has no Matter vendor and product id to hold it against"};
  return x509::check_certification_declaration(cms, *device.matter.vendor_id, *device.matter.product_id,
                                               paa_key_identifier);
}

}  // namespace

void take_declaration(Context& context, const fs::path& file, x509::DeviceTemplate& device) {
  const auto octets = read_file_if_exists(file, x509::kMaxDeclarationBytes);
  if (!octets) throw Error{Code::NotFound, fmt::format("there is no file {}", file.string())};
  const Digest sha256 = crypto::sha256(*octets);
  if (device.certification_declaration && *device.certification_declaration != sha256) {
    throw Error{Code::Refused,
                fmt::format("{} has SHA-256 {}, the template names {}", file.string(), sha256.hex(),
                            device.certification_declaration->hex()),
                "give the declaration that the template names, or leave it out of the template"};
  }
  device.certification_declaration = sha256;
  if (const auto refusal = x509::check_template(device)) throw to_error(*refusal);
  if (auto refusal = check_ids(*octets, device, {})) {
    refusal->text = fmt::format("{}: {}", file.string(), refusal->text);
    throw to_error(*refusal);
  }
  make_private_directory(context.paths().home / "declarations");
  write_file_durably(kept_file(context, sha256), *octets, Overwrite::Replace);
}

std::optional<Refusal> check_declaration(Context& context, const x509::DeviceTemplate& device,
                                         ByteView paa_key_identifier) {
  if (const auto octets = kept(context, *device.certification_declaration))
    return check_ids(*octets, device, paa_key_identifier);
  return Refusal{
      "declaration-missing",
      fmt::format("the Certification Declaration {} is not kept here", device.certification_declaration->hex()),
      "make the plan on this appliance: plan new --template FILE --certification-declaration FILE"};
}

std::optional<Bytes> declaration_of(Context& context, const BatchId& batch) {
  const auto stored = PlanStore{context.ledger()}.find_batch(batch);
  if (!stored) return std::nullopt;
  auto parsed = parse_plan(stored->octets);
  const auto* plan = std::get_if<Plan>(&parsed);
  if (plan == nullptr) return std::nullopt;
  const auto sha256 = plan->batch().device_template().certification_declaration;
  if (!sha256) return std::nullopt;
  auto octets = kept(context, *sha256);
  if (octets) return octets;
  throw Error{Code::Storage, fmt::format("the Certification Declaration {} is not kept here any more", sha256->hex()),
              fmt::format("put it back as {}", kept_file(context, *sha256).string())};
}

}  // namespace keyferry::appliance
