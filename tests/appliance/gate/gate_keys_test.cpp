// Imported keys and delivered transport keys at the gate: what is not exactly approved gets nothing.
#include <fmt/format.h>

#include "tests/appliance/gate/gate_fixture.h"
#include "token/audit/merkle.h"
#include "wrap/base/random.h"
#include "wrap/crypto/cmac.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/se/check_value.h"

namespace keyferry::appliance::test {
namespace {

SecretBytes random_key() {
  SecretBytes key{32};
  SystemRandom{}.fill(key.expose_writable());
  return key;
}

/// An appliance whose gate was given a vendor's AES key to import.
class GateKeys : public GateFixture {
 protected:
  void SetUp() override {
    key_to_import_ = to_hex(vendor_.expose());
    gate_ = start_gate();
    make_appliance(*gate_);
  }

  [[nodiscard]] Plan vendor_plan(const Bytes& check_value, const std::string& name = "acme") {
    Plan import = plan(Operation::VendorKeyImport);
    import.detail = VendorKeyImportPlan{name, "aes-kwp", check_value};
    return parsed(import);
  }

  void import_vendor_key() { run(*gate_, vendor_plan(crypto::aes_check_value(vendor_))); }

  /// A plan that imports `count` delivered keys; entries_ and keys_ are filled.
  [[nodiscard]] Plan delivered_plan(std::uint32_t count) {
    entries_.clear();
    keys_.clear();
    std::vector<Digest> leaves;
    for (std::uint32_t i = 0; i < count; ++i) {
      keys_.push_back(random_key());
      entries_.push_back(se::Entry{.serial = *SeSerial::from_bytes(as_bytes(fmt::format("{:016x}", i + 1))),
                                   .part = "",
                                   .lot = "",
                                   .device_serial = "",
                                   .transport_kind = se::TransportKind::Delivered,
                                   .transport_name = "acme",
                                   .transport_data = crypto::wrap_kwp(vendor_, keys_.back())});
      leaves.push_back(se::entry_leaf_hash(se::canonical_entry(entries_.back())));
    }
    Plan source = plan(Operation::SourceAdd);
    source.detail = SourceAddPlan{"room", "officer-approved", {}};
    run(*gate_, parsed(source));
    Plan import = plan(Operation::SeImport);
    import.detail = SeImportPlan{"room", "more.csv", crypto::sha256(Bytes{1}), count, audit::tree_root(leaves), count};
    return parsed(import);
  }

  [[nodiscard]] v1::GateRequest check_request(const Plan& plan) {
    v1::GateRequest request;
    v1::CheckDeliveredRequest& check = *request.mutable_check_delivered();
    check.set_plan(to_string(plan.octets));
    *check.add_approvals() = sign_approval(approval_of(plan), officer_);
    for (const se::Entry& entry : entries_) check.add_entries(to_string(se::canonical_entry(entry)));
    return request;
  }

  void expect_refused(v1::GateRequest request, const std::string& part_of_text) {
    const std::size_t before = ledger_.log.size();
    const Error error = refusal_of(*gate_, std::move(request));
    EXPECT_NE(std::string{error.what()}.find(part_of_text), std::string::npos) << error.what();
    EXPECT_EQ(ledger_.log.size(), before + 1) << "a refusal is a leaf";
  }

  [[nodiscard]] std::vector<std::string> labels() {
    v1::GateRequest request;
    request.mutable_inventory();
    std::vector<std::string> found;
    const v1::GateReply reply = gate_->call(std::move(request));
    for (const v1::HsmObject& object : reply.inventory().objects()) found.push_back(object.label());
    return found;
  }

  [[nodiscard]] bool holds(const std::string& label) {
    const auto all = labels();
    return std::find(all.begin(), all.end(), label) != all.end();
  }

  SecretBytes vendor_ = random_key();
  std::vector<SecretBytes> keys_;
  std::unique_ptr<GateClient> gate_;
};

TEST_F(GateKeys, TakeInTheKeyThatTheOfficersApproved) {
  import_vendor_key();
  EXPECT_TRUE(holds("kf-vendor/acme"));
  ASSERT_EQ(registry_.vendor_keys_size(), 1);
  EXPECT_EQ(registry_.vendor_keys(0).check_value(), to_string(crypto::aes_check_value(vendor_)));
}

TEST_F(GateKeys, RefuseAnotherKeyAndLeaveNothingOfIt) {
  expect_refused(run_request(vendor_plan(Bytes(16, 7))), "the officers approved 0707");
  EXPECT_FALSE(holds("kf-vendor/acme"));
}

TEST_F(GateKeys, AreGivenForOneImportOnly) {
  import_vendor_key();
  const Error error = refusal_of(*gate_, run_request(vendor_plan(Bytes(16, 7), "second")));
  EXPECT_NE(std::string{error.what()}.find("no key to import"), std::string::npos) << error.what();
}

TEST_F(GateKeys, AreNotImportedUnderACheckValueThatWasSeen) {
  import_vendor_key();
  expect_refused(run_request(vendor_plan(crypto::aes_check_value(vendor_), "again")), "was here before: kf-vendor/acme");
}

TEST_F(GateKeys, AreListedBeforeTheApplianceIsOpened) {
  import_vendor_key();
  gate_.reset();
  key_to_import_.clear();
  gate_ = start_gate();
  EXPECT_TRUE(holds("kf-vendor/acme"));
}

TEST_F(GateKeys, ThatAreDeliveredGetTheCheckValueOfTheirOctets) {
  import_vendor_key();
  const Plan import = delivered_plan(5);
  const v1::GateReply reply = gate_->call(check_request(import));
  ASSERT_EQ(reply.delivered().check_values_size(), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(reply.delivered().check_values(i), to_string(se::transport_check_value(keys_[static_cast<std::size_t>(i)])));
  }
  static_cast<void>(gate_->call(check_request(import)));  // checking spends no plan
  run(*gate_, import);
}

TEST_F(GateKeys, ThatDoNotOpenHaveNoCheckValue) {
  import_vendor_key();
  static_cast<void>(delivered_plan(3));
  entries_[1].transport_data[3] ^= 1;
  std::vector<Digest> leaves;
  for (const se::Entry& entry : entries_) leaves.push_back(se::entry_leaf_hash(se::canonical_entry(entry)));
  Plan import = plan(Operation::SeImport);
  import.detail = SeImportPlan{"room", "more.csv", crypto::sha256(Bytes{2}), 3, audit::tree_root(leaves), 3};
  const v1::GateReply reply = gate_->call(check_request(parsed(import)));
  EXPECT_EQ(reply.delivered().check_values(0).size(), 16U);
  EXPECT_TRUE(reply.delivered().check_values(1).empty());
  EXPECT_EQ(reply.delivered().check_values(2).size(), 16U);
}

TEST_F(GateKeys, AreNotOpenedForAPlanThatNobodyApproved) {
  import_vendor_key();
  v1::GateRequest request = check_request(delivered_plan(2));
  request.mutable_check_delivered()->clear_approvals();
  expect_refused(request, "0 of 1 officers");
}

TEST_F(GateKeys, AreNotOpenedForAPlanThatWasRun) {
  import_vendor_key();
  const Plan import = delivered_plan(2);
  run(*gate_, import);
  expect_refused(check_request(import), "is used");
}

TEST_F(GateKeys, AreNotOpenedWhenTheBlobsAreSwapped) {
  import_vendor_key();
  const Plan import = delivered_plan(2);
  std::swap(entries_[0].transport_data, entries_[1].transport_data);
  expect_refused(check_request(import), "not those that the officers approved");
}

TEST_F(GateKeys, AreNotOpenedWhenThereAreMoreThanInThePlan) {
  import_vendor_key();
  const Plan import = delivered_plan(2);
  v1::GateRequest request = check_request(import);
  request.mutable_check_delivered()->add_entries(request.check_delivered().entries(0));
  expect_refused(request, "has 2 entries in the plan, 3 were given");
}

TEST_F(GateKeys, AreNotOpenedAtAPlaceThatThePlanDoesNotHave) {
  import_vendor_key();
  v1::GateRequest request = check_request(delivered_plan(2));
  request.mutable_check_delivered()->set_index(1);
  expect_refused(request, "no such block");
}

TEST_F(GateKeys, AreNotOpenedForAPlanOfAnotherKind) {
  import_vendor_key();
  expect_refused(check_request(batch_plan(4, 4)), "imports no inventory");
}

/// The vendor's key in two parts.
class GateComponents : public GateFixture {
 protected:
  void SetUp() override {
    SecretBytes second = SecretBytes::copy_of(vendor_.expose());
    for (std::size_t i = 0; i < second.size(); ++i) second.expose_writable()[i] ^= first_.expose()[i];
    checks_ = {crypto::aes_check_value(first_), crypto::aes_check_value(second)};
    parts_to_import_ = {to_hex(first_.expose()), to_hex(second.expose())};
    for (const Bytes& check : checks_) part_check_values_.push_back(to_hex(check));
    gate_ = start_gate();
    make_appliance(*gate_);
  }

  [[nodiscard]] Plan vendor_plan(std::vector<Bytes> components) {
    Plan import = plan(Operation::VendorKeyImport);
    import.detail = VendorKeyImportPlan{"acme", "aes-kwp", crypto::aes_check_value(vendor_), std::move(components)};
    return parsed(import);
  }

  SecretBytes vendor_ = random_key(), first_ = random_key();
  std::vector<Bytes> checks_;
  std::unique_ptr<GateClient> gate_;
};

TEST_F(GateComponents, AreImportedAsTheKeyThatTheyMake) {
  run(*gate_, vendor_plan(checks_));
  EXPECT_EQ(registry_.vendor_keys(0).check_value(), to_string(crypto::aes_check_value(vendor_)));
}

TEST_F(GateComponents, AreThoseOfThePlanInItsOrder) {
  for (const std::vector<Bytes>& named : {std::vector<Bytes>{}, {checks_[1], checks_[0]}, {checks_[0], checks_[0]}}) {
    const Error error = refusal_of(*gate_, run_request(vendor_plan(named)));
    EXPECT_NE(std::string{error.what()}.find("the plan wants the key in"), std::string::npos) << error.what();
  }
  run(*gate_, vendor_plan(checks_));
}

}  // namespace
}  // namespace keyferry::appliance::test
