// A sealed batch on its way out: onto a token, again onto the same token, and onto another one by
// quorum. And its certificates, which are public, as PEM.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "appliance/ledger/ledger.h"

namespace keyferry::appliance {

class Context;

/// Token card first, manifest last: a token without manifest is half made. Idempotent on the same
/// token; a cut is gone on with by the same command. Another token is refused by the gate unless
/// reexport_batch() came before.
int export_batch(Context& context, std::string_view batch, const std::filesystem::path& to);

/// Runs a plan of kind batch-reexport: allows one more token for that batch.
int reexport_batch(Context& context, std::string_view batch, const std::string& reason);

/// `to` a folder that is there: ca.pem and record-0000000.pem for each record. Else one file: the
/// leafs by record number, then the CA.
int export_certificates(Context& context, std::string_view batch, const std::filesystem::path& to);

void register_export_actions(Ledger& ledger);

}  // namespace keyferry::appliance
