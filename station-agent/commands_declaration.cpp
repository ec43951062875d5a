#include <fmt/format.h>

#include <cstdlib>

#include "station-agent/commands.h"
#include "station-agent/declaration.h"
#include "station-agent/desk.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/declaration.h"
#include "wrap/x509/matter.h"

namespace keyferry::station {
namespace {

std::string signature_sentence(const BatchDeclaration& given, const CheckedDeclaration& checked) {
  if (checked.signature == x509::DeclarationSignature::NotVerified)
    return "signature not checked: officers named no certificate of its signer";
  return "signature checked with the certificate that officers named, SHA-256 " +
         crypto::sha256(*given.signer).hex();
}

}  // namespace

int command_declaration(const CommonOptions& common, const DeclarationOptions& options) {
  const OpenHome home{common, store::Role::Reader};
  const auto batch_id = BatchId::from_hex(options.batch);
  if (!batch_id)
    throw Error{Code::Usage, "a batch id is 32 hex digits", "keyferry-station status lists them"};
  if (!home.store.batch(*batch_id)) {
    throw Error{Code::NotFound,
                "no batch " + batch_id->hex() + " at this station",
                "keyferry-station status lists them"};
  }
  const auto given = home.store.declaration(*batch_id);
  if (!given) {
    throw Error{Code::NotFound,
                "batch " + batch_id->hex() + " came without a Certification Declaration",
                "officers name one in the plan: plan new --certification-declaration FILE"};
  }
  const auto checked = check_declaration(given->cms, given->signer);
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
  const auto& good = std::get<CheckedDeclaration>(checked);
  if (!options.to.empty()) write_file_durably(options.to, given->cms, Overwrite::Refuse);
  std::vector<std::string> products;
  for (const std::uint16_t product : good.declaration.product_ids)
    products.push_back(x509::matter_hex(product));
  const std::string sha256 = crypto::sha256(given->cms).hex();
  if (common.json) {
    print_json({{"schema", "keyferry.station.declaration.v1"},
                {"ok", true},
                {"batch", batch_id->hex()},
                {"sha256", sha256},
                {"bytes", given->cms.size()},
                {"certificate_id", good.declaration.certificate_id},
                {"vendor_id", x509::matter_hex(good.declaration.vendor_id)},
                {"product_ids", products},
                {"signature_checked", good.signature == x509::DeclarationSignature::Verified},
                {"signer_sha256", given->signer ? crypto::sha256(*given->signer).hex() : ""},
                {"to", options.to.string()}});
    return EXIT_SUCCESS;
  }
  print(fmt::format("Certification Declaration {} of batch {}: {} octets",
                    good.declaration.certificate_id,
                    batch_id->hex(),
                    given->cms.size()));
  print("SHA-256 " + sha256);
  print(fmt::format("vendor {}, products {}",
                    x509::matter_hex(good.declaration.vendor_id),
                    fmt::join(products, " ")));
  print(signature_sentence(*given, good));
  if (!options.to.empty()) print("written to " + options.to.string());
  return EXIT_SUCCESS;
}

}  // namespace keyferry::station
