// A batch under an outside CA, for officers: requests out, certificates in, and the plan that lets them be used. Keys wait
// in the appliance meanwhile (gate/segment_waiting.cpp).
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

class Context;

enum class RequestForm { Pem, Der };

/// Writes a PKCS#10 for each key of the batch into folder `to` (made if it is not there), then index.csv and index.json,
/// which say that all are there. As often as one likes: files of the same names are replaced.
int export_requests(Context& context, std::string_view batch, const std::filesystem::path& to, RequestForm form);

/// Takes in what an outside CA gave: files, or folders of them; PEM or DER, one certificate or many, PKCS#7, with the chain
/// or without. All or, when anything is wrong with one of them, none. Lists what is missing then. 0: all are in; 1: some
/// are missing, or nothing was taken.
int take_certificates(Context& context, std::string_view batch, const std::vector<std::filesystem::path>& from);

/// Officers approve the certificates (operation batch-certify), then the batch is sealed with them. Goes on where it was
/// cut off.
int batch_certify(Context& context, std::string_view batch);

/// `plan run` of a batch-certify plan, also of one that has been run and whose batch is not sealed yet.
int run_batch_certify(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

/// What speaks against a batch-certify plan, before officers are asked and before it is run; nothing for other plans.
[[nodiscard]] std::optional<Refusal> certify_refusal(Context& context, const Plan& plan);

}  // namespace keyferry::appliance
