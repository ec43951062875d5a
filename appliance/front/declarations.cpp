#include "appliance/front/declarations.h"

#include <fmt/format.h>

#include <utility>

#include "appliance/front/context.h"
#include "appliance/ledger/plan_store.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/declaration.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxSignerFileBytes = 64U * 1024;  // PEM, with the text that openssl writes above it

fs::path kept_file(Context& context, const Digest& sha256) {
  return context.paths().home / "declarations" / (sha256.hex() + ".der");
}

/// Nothing when it is not there, or is another one by now.
std::optional<Bytes> kept(Context& context, const Digest& sha256) {
  auto octets = read_file_if_exists(kept_file(context, sha256), x509::kMaxDeclarationBytes);
  if (!octets || crypto::sha256(*octets) != sha256) return std::nullopt;
  return octets;
}

ProductDeclaration kept_of(Context& context, const x509::DeviceTemplate& device) {
  const auto octets = [&context](const std::optional<Digest>& sha256) {
    return sha256 ? kept(context, *sha256).value_or(Bytes{}) : Bytes{};
  };
  return {octets(device.certification_declaration), octets(device.declaration_signer)};
}

/// PEM or DER, one certificate.
Bytes read_signer(const fs::path& file) {
  const auto octets = read_file_if_exists(file, kMaxSignerFileBytes);
  if (!octets) throw Error{Code::NotFound, fmt::format("there is no file {}", file.string())};
  auto read = x509::read_certificates(*octets);
  if (auto* refusal = std::get_if<Refusal>(&read)) {
    refusal->text = fmt::format("{}: {}", file.string(), refusal->text);
    throw to_error(*refusal);
  }
  auto& certificates = std::get<std::vector<Bytes>>(read);
  if (certificates.size() == 1) return std::move(certificates.front());
  throw Error{Code::Refused, fmt::format("{} holds {} certificates", file.string(), certificates.size()),
              "give the one whose key signed the declaration"};
}

/// Named by `named` from now on, unless that names another one.
void name(std::optional<Digest>& named, const fs::path& file, std::string_view what, ByteView octets) {
  const Digest sha256 = crypto::sha256(octets);
  if (named && *named != sha256) {
    throw Error{Code::Refused,
                fmt::format("{} has SHA-256 {}, the template names {}", file.string(), sha256.hex(), named->hex()),
                fmt::format("give the {} that the template names, or leave it out of the template", what)};
  }
  named = sha256;
}

}  // namespace

void take_declaration(Context& context, const DeclarationFiles& files, x509::DeviceTemplate& device) {
  const auto octets = read_file_if_exists(files.declaration, x509::kMaxDeclarationBytes);
  if (!octets) throw Error{Code::NotFound, fmt::format("there is no file {}", files.declaration.string())};
  name(device.certification_declaration, files.declaration, "declaration", *octets);
  Bytes signer;
  if (files.signer) {
    signer = read_signer(*files.signer);
    name(device.declaration_signer, *files.signer, "signer", signer);
  } else if (device.declaration_signer) {
    throw Error{Code::Usage,
                fmt::format("the template names the declaration's signer, {}", device.declaration_signer->hex()),
                "give its certificate: --declaration-signer FILE"};
  }
  if (const auto refusal = x509::check_template(device)) throw to_error(*refusal);
  if (auto refusal = check_declaration(device, *octets, signer, {})) {
    refusal->text = fmt::format("{}: {}", files.declaration.string(), refusal->text);
    throw to_error(*refusal);
  }
  make_private_directory(context.paths().home / "declarations");
  write_file_durably(kept_file(context, *device.certification_declaration), *octets, Overwrite::Replace);
  if (device.declaration_signer)
    write_file_durably(kept_file(context, *device.declaration_signer), signer, Overwrite::Replace);
}

std::optional<Refusal> check_kept_declaration(Context& context, const x509::DeviceTemplate& device,
                                              ByteView paa_key_identifier) {
  const ProductDeclaration found = kept_of(context, device);
  auto refusal = check_declaration(device, found.cms, found.signer, paa_key_identifier);
  if (refusal && refusal->reason == "declaration-missing") {
    refusal->text += " in this appliance's home";
    refusal->hint =
        "make the plan on this appliance: plan new --template FILE --certification-declaration FILE "
        "(--declaration-signer FILE)";
  }
  return refusal;
}

ProductDeclaration declaration_of(Context& context, const x509::DeviceTemplate& device) {
  ProductDeclaration found = kept_of(context, device);
  for (const auto& [named, octets] : {std::pair{&device.certification_declaration, &found.cms},
                                      std::pair{&device.declaration_signer, &found.signer}}) {
    if (!*named || !octets->empty()) continue;
    throw Error{Code::Storage,
                fmt::format("the Certification Declaration's file {} is not kept here any more", (*named)->hex()),
                fmt::format("put it back as {}", kept_file(context, **named).string())};
  }
  return found;
}

ProductDeclaration declaration_of(Context& context, const BatchId& batch) {
  const auto stored = PlanStore{context.ledger()}.find_batch(batch);
  if (!stored) return {};
  auto parsed = parse_plan(stored->octets);
  const auto* plan = std::get_if<Plan>(&parsed);
  return plan == nullptr ? ProductDeclaration{} : declaration_of(context, plan->batch().device_template());
}

}  // namespace keyferry::appliance
