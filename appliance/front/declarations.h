// Certification Declarations (Matter, CMS): a plan's template names one by its SHA-256; the file itself is kept in the
// home under that name, and goes out with the batch's certificates.
#pragma once

#include <filesystem>
#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {

class Context;

/// Keeps the file and names it in `device`. Error{NotFound, Refused}: no such file, another one than the template
/// names, not of the template's vendor and product.
void take_declaration(Context& context, const std::filesystem::path& file, x509::DeviceTemplate& device);

/// Nothing if the one that `device` names is kept here and is for its vendor, product and PAA. Refusals
/// "declaration-missing" and those of x509::check_certification_declaration.
[[nodiscard]] std::optional<Refusal> check_declaration(Context& context, const x509::DeviceTemplate& device,
                                                       ByteView paa_key_identifier);

/// Of a batch's plan; nothing when its template names none. Error{Storage} when it is not kept here any more.
[[nodiscard]] std::optional<Bytes> declaration_of(Context& context, const BatchId& batch);

}  // namespace keyferry::appliance
