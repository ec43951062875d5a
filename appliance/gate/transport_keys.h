// Transport keys for a segment's entries, whichever way they are known: derived from kf-tk/NAME by that master's KDF, or
// opened from the vendor's blob under kf-vendor/NAME (design.md section 5). Session objects, one use, gone with p11::Key.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "wrap/p11/probe.h"
#include "wrap/p11/session.h"
#include "wrap/se/atecc608_builder.h"
#include "wrap/se/delivery.h"
#include "wrap/se/entry.h"
#include "wrap/se/kdf.h"
#include "wrap/se/pkcs11_builder.h"

namespace keyferry::v1 {
class CheckDelivered;
class MakeSegment;
class VendorKey;
}  // namespace keyferry::v1

namespace keyferry::appliance {

class TransportKeys {
 public:
  /// The masters and vendor keys are those of the registry in the request. Session, facts and builder outlive this; all
  /// belong to one thread. Error{Refused} for a KDF or mechanism that is unknown.
  /// atecc608: of batches of that family, whose transport keys are made in its way; else null.
  TransportKeys(p11::Session& session, const p11::ProbeResult& facts, se::Pkcs11Builder& builder,
                se::Atecc608Builder* atecc608, const v1::MakeSegment& request);
  TransportKeys(p11::Session& session, const p11::ProbeResult& facts, se::Pkcs11Builder& builder,
                const v1::CheckDelivered& request);

  /// Looks up every master and vendor key that the entries name: once per segment, not in its loop. Error{Refused} for
  /// one that the registry does not have, that is of another family (a master of a family with plaintext in the worker
  /// derives for it alone) or whose KDF this module cannot do, Error{NotFound} for one that is not in the
  /// HSM.
  void check(const std::vector<se::Entry>& entries);

  /// After check(). Error{Refused} for a blob that does not open: the SE's serial is named.
  [[nodiscard]] p11::Key make(const se::Entry& entry);

  /// The delivered key's check value; nothing when its blob does not open. After check().
  [[nodiscard]] std::optional<Bytes> delivered_check_value(const se::Entry& entry);

 private:
  struct Master {
    se::Kdf kdf = se::Kdf::KfKdf1;
    se::Family family = se::Family::Pkcs11;
    p11::ObjectHandle handle;
  };
  struct Vendor {
    se::Delivery delivery = se::Delivery::AesKwp;
    p11::ObjectHandle handle;
  };

  void add_vendor(const v1::VendorKey& key);
  void look_up_master(const std::string& name, se::Family family);
  void look_up_vendor(const std::string& name);

  p11::Session& session_;
  const p11::ProbeResult& facts_;
  se::Pkcs11Builder& builder_;
  se::Atecc608Builder* atecc608_ = nullptr;
  std::map<std::string, Master> masters_;  // handle 0: not looked up yet
  std::map<std::string, Vendor> vendors_;
};

}  // namespace keyferry::appliance
