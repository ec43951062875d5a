#include "appliance/gate/transport_keys.h"

#include <fmt/format.h>

#include "appliance/gate/roles.h"
#include "keyferry/v1/worker.pb.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error{Code::Refused, text}; }

[[noreturn]] void refuse_delivered(const se::Entry& entry) {
  throw Error{Code::Refused,
              fmt::format("SE {}: the delivered transport key does not open under kf-vendor/{}", entry.serial.hex(),
                          entry.transport_name),
              "the inventory row was opened when it was imported: has the vendor key been changed since?"};
}

}  // namespace

TransportKeys::TransportKeys(p11::Session& session, const p11::ProbeResult& facts, se::Pkcs11Builder& builder,
                             se::Atecc608Builder* atecc608, const v1::MakeSegment& request)
    : session_{session}, facts_{facts}, builder_{builder}, atecc608_{atecc608} {
  for (const v1::TransportMaster& master : request.transport_masters()) {
    const auto kdf = se::kdf_from_name(master.kdf());
    if (!kdf) refuse(fmt::format("master kf-tk/{} has a KDF that is unknown", master.name()));
    const auto family = master.family().empty() ? se::Family::Pkcs11 : se::family_from_name(master.family());
    if (!family) refuse(fmt::format("master kf-tk/{} was made for a family that is unknown", master.name()));
    masters_.emplace(master.name(), Master{*kdf, *family, {}});
  }
  for (const v1::VendorKey& key : request.vendor_keys()) add_vendor(key);
}

TransportKeys::TransportKeys(p11::Session& session, const p11::ProbeResult& facts, se::Pkcs11Builder& builder,
                             const v1::CheckDelivered& request)
    : session_{session}, facts_{facts}, builder_{builder} {
  for (const v1::VendorKey& key : request.vendor_keys()) add_vendor(key);
}

void TransportKeys::add_vendor(const v1::VendorKey& key) {
  const auto delivery = se::delivery_from_name(key.mechanism());
  if (!delivery) refuse(fmt::format("vendor key kf-vendor/{} has a mechanism that is unknown", key.name()));
  vendors_.emplace(key.name(), Vendor{*delivery, {}});
}

void TransportKeys::look_up_master(const std::string& name, se::Family family) {
  const auto found = masters_.find(name);
  if (found == masters_.end()) refuse(fmt::format("the registry has no transport-key master \"{}\"", name));
  if (found->second.family != family) {
    throw to_error(Refusal{"master-family",
                           fmt::format("master kf-tk/{} was made for family {}, and an SE of family {} names it", name,
                                       se::family_name(found->second.family), se::family_name(family)),
                           "a master whose keys a worker may see derives for its own family alone"});
  }
  if (found->second.handle.value != 0) return;
  if (const auto refusal = se::check_kdf(found->second.kdf, facts_)) throw to_error(*refusal);
  found->second.handle = lasting_role_key(session_, KeyRole::TransportMaster, name);
}

void TransportKeys::look_up_vendor(const std::string& name) {
  const auto found = vendors_.find(name);
  if (found == vendors_.end()) refuse(fmt::format("the registry has no vendor key \"{}\"", name));
  if (found->second.handle.value != 0) return;
  const KeyRole role = found->second.delivery == se::Delivery::AesKwp ? KeyRole::Vendor : KeyRole::VendorRsa;
  found->second.handle = lasting_role_key(session_, role, name);
}

void TransportKeys::check(const std::vector<se::Entry>& entries) {
  for (const se::Entry& entry : entries) {
    switch (entry.transport_kind) {
      case se::TransportKind::Derived: look_up_master(entry.transport_name, entry.family); break;
      case se::TransportKind::Delivered: look_up_vendor(entry.transport_name); break;
      case se::TransportKind::Public:
        throw to_error(Refusal{"transport-unsupported", "transport \"public\" is not supported by any family here yet"});
    }
  }
}

p11::Key TransportKeys::make(const se::Entry& entry) {
  if (entry.transport_kind == se::TransportKind::Derived) {
    const Master& master = masters_.at(entry.transport_name);
    if (atecc608_ != nullptr)
      return atecc608_->derive_transport_key(master.handle, entry.transport_name, entry, master.kdf);
    return builder_.derive_transport_key(master.handle, entry.transport_name, entry, master.kdf);
  }
  const Vendor& vendor = vendors_.at(entry.transport_name);
  if (atecc608_ != nullptr) {
    auto opened = atecc608_->unwrap_transport_key(vendor.delivery, vendor.handle, entry.transport_data);
    if (std::holds_alternative<Refusal>(opened)) refuse_delivered(entry);
    return std::move(std::get<p11::Key>(opened));
  }
  auto opened = builder_.unwrap_transport_key(vendor.delivery, vendor.handle, entry.transport_data);
  if (std::holds_alternative<Refusal>(opened)) refuse_delivered(entry);
  return std::move(std::get<se::DeliveredKey>(opened).key);
}

std::optional<Bytes> TransportKeys::delivered_check_value(const se::Entry& entry) {
  const Vendor& vendor = vendors_.at(entry.transport_name);
  auto opened = builder_.unwrap_transport_key(vendor.delivery, vendor.handle, entry.transport_data);
  if (auto* delivered = std::get_if<se::DeliveredKey>(&opened)) return std::move(delivered->check_value);
  return std::nullopt;
}

}  // namespace keyferry::appliance
