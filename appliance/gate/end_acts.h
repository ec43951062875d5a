// What a worker does for what ends: it builds and signs CRLs and the revocation list itself, and destroys a key.
#pragma once

#include "appliance/gate/hsm.h"

namespace keyferry::v1 {
class DestroyKey;
class KeyDestroyed;
class MakeCrl;
class MakeRevocations;
class Octets;
class SignedBytes;
}  // namespace keyferry::v1

namespace keyferry::appliance {

/// The list as kf-state has it, which is read from the HSM here, by kf-export. Error{Refused}: the registry is not
/// kf-state's, or nothing was revoked yet.
void make_revocations(Hsm& hsm, const v1::MakeRevocations& request, v1::SignedBytes& out);

/// The CRL of an approved plan, by kf-ca/NAME. Error{Refused}: the entries are not the plan's.
void make_crl(Hsm& hsm, const v1::MakeCrl& request, v1::Octets& out);

/// Every object of kf-tk/NAME, kf-vendor/NAME or kf-ca/NAME; none there is no error. Error{Refused}: another label.
void destroy_key(Hsm& hsm, const v1::DestroyKey& request, v1::KeyDestroyed& out);

}  // namespace keyferry::appliance
