// One device after the line: its certificate revoked, its SE scrapped or replaced, a return from the field, and its
// whole thread. Each that changes something makes a plan that binds one record and its certificate, and goes the way
// of every operation (operation.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/front/ends.h"
#include "appliance/ledger/device_store.h"

namespace keyferry::appliance {

/// Which device: exactly one of the ways is given.
struct DeviceChoice {
  std::optional<std::string> se;      // serial as a screen shows it
  std::optional<std::string> family;  // with se, where two families have that serial
  std::optional<std::string> device_serial;
  std::optional<std::string> certificate;  // serial in hex, or a PEM or DER file
  std::optional<std::string> batch;        // with record
  std::optional<std::uint32_t> record;
};

struct DeviceOptions {
  DeviceChoice choice;
  std::optional<std::string> crl_reason;          // revoke, rma
  std::string rma;                                // the return's number
  std::string new_se;                             // rework
  std::optional<std::string> new_family;          // nothing: the old SE's
  std::optional<std::string> for_device;          // rework of an SE that failed before its device was known
  std::uint32_t by = 0, witness = 0;              // scrap: person numbers
  std::optional<std::filesystem::path> evidence;  // scrap: its SHA-256 goes into the plan
  EndOptions end;                                 // confirm: the SE's serial
};

int device_revoke(Context& context, const DeviceOptions& options);
int device_scrap(Context& context, const DeviceOptions& options);
int device_rework(Context& context, const DeviceOptions& options);
int device_rma(Context& context, const DeviceOptions& options);
int device_history(Context& context, const DeviceChoice& choice);

/// Every record that the choice names, by batch and number. Error{Usage} unless one way is given, Error{NotFound}
/// naming it when there is none.
[[nodiscard]] std::vector<DeviceRow> chosen_records(Context& context, const DeviceChoice& choice);

/// As a screen shows an SE: "pkcs11 0011...".
[[nodiscard]] std::string se_text(const DeviceRow& row);

}  // namespace keyferry::appliance
