// What a worker does with the long-lived keys of the HSM: makes them, takes them in, lists them; and opens delivered
// transport keys for their check values. Each is one request of the gate.
#pragma once

#include "appliance/gate/hsm.h"
#include "wrap/base/random.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::v1 {
class CheckDelivered;
class DeliveredChecks;
class HsmFacts;
class HsmInventory;
class KeyMade;
class ListObjects;
class MakeKey;
class RandomTested;
}  // namespace keyferry::v1

namespace keyferry::appliance {

/// Makes the key that the gate asks for, or takes in `octets` (32; nullptr: none) after their check value was compared with the approved
/// one. Error{Refused}: another check value, attributes that are not the role's when read back, a key that the HSM
/// computes with otherwise than software, a mechanism that this module was not seen to have. On a refusal no object with
/// that label stays.
void make_key(Hsm& hsm, RandomSource& random, const v1::MakeKey& request, const SecretBytes* octets,
              v1::KeyMade& made);

/// kf-log, kf-export and kf-inbox. Leftovers of an initialization that was cut off are destroyed first.
void make_appliance_keys(Hsm& hsm, v1::HsmInventory& made);

/// Error{Refused}: the entries are not the plan's at this index, or name a vendor key that is not known.
void check_delivered(Hsm& hsm, const v1::CheckDelivered& request, v1::DeliveredChecks& checks);

/// Every token object, its attributes, and what tells a key of ours from another: public key or check value.
void list_objects(Hsm& hsm, const v1::ListObjects& request, v1::HsmInventory& inventory);

/// Tries the module at length; a module that cannot do what the product needs is told in `facts`, not thrown.
void probe_thoroughly(Hsm& hsm, v1::HsmFacts& facts);

/// 1 MiB of C_GenerateRandom through the health tests of SP 800-90B.
void test_generator(Hsm& hsm, v1::RandomTested& tested);

/// Module, token and the strangers among its objects.
void describe_hsm(Hsm& hsm, v1::HsmFacts& facts);

}  // namespace keyferry::appliance
