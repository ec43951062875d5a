// Certification Declarations (Matter, CMS): a plan's template names one by its SHA-256; the file itself is kept in the
// home under that name, and goes out with the batch's certificates.
#pragma once

#include <filesystem>
#include <optional>

#include "appliance/plan/product_declaration.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {

class Context;

struct DeclarationFiles {
  std::filesystem::path declaration;            // CMS in DER
  std::optional<std::filesystem::path> signer;  // certificate, PEM or DER; nothing: the signature is not checked
};

/// Keeps the files and names them in `device`. Error{NotFound, Refused, Usage}: no such file, another one than the
/// template names, not of the template's vendor and product, not signed by the signer.
void take_declaration(Context& context, const DeclarationFiles& files, x509::DeviceTemplate& device);

/// plan/product_declaration.h for the files that are kept here.
[[nodiscard]] std::optional<Refusal> check_kept_declaration(Context& context, const x509::DeviceTemplate& device,
                                                            ByteView paa_key_identifier);

/// What the template, or a batch's plan, names; empty where it names none. Error{Storage}: not kept here any more.
[[nodiscard]] ProductDeclaration declaration_of(Context& context, const x509::DeviceTemplate& device);
[[nodiscard]] ProductDeclaration declaration_of(Context& context, const BatchId& batch);

}  // namespace keyferry::appliance
