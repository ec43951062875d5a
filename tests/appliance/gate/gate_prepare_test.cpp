// Orders to a secure room by the real gate and worker on SoftHSM: what kf-export signs, and for whom.
#include "tests/appliance/gate/gate_fixture.h"
#include "tests/appliance/gate/preparation_sample.h"
#include "token/preparation.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance::test {
namespace {

class GatePrepare : public GateFixture {
 protected:
  void SetUp() override {
    GateFixture::SetUp();
    gate_ = start_gate();
    EXPECT_FALSE(open(*gate_).initialized());
    make_appliance(*gate_);
  }

  void enroll(const std::string& name, const std::string& kind) {
    Plan made = plan(Operation::SourceAdd);
    made.detail = SourceAddPlan{name, kind, kind == "preparation" ? to_bytes(room_.public_key().point()) : Bytes{}};
    run(*gate_, parsed(made));
  }

  void make_vendor_key() {
    Plan made = plan(Operation::VendorKeyCreate);
    made.detail = VendorKeyCreatePlan{"room", "rsa-oaep-sha1", 3072};
    run(*gate_, parsed(made));
  }

  Plan order_plan(const std::function<void(SePreparePlan&)>& change = {}) {
    Plan made = plan(Operation::SePrepare);
    SePreparePlan detail = sample_preparation();
    if (registry_.vendor_keys_size() == 1) detail.vendor_public_key = to_bytes(as_bytes(registry_.vendor_keys(0).public_key()));
    if (change) change(detail);
    made.detail = detail;
    return parsed(made);
  }

  void expect_refused(const Plan& plan, std::string_view said) {
    const Error refused = refusal_of(*gate_, run_request(plan));
    EXPECT_NE(std::string{refused.what()}.find(said), std::string::npos) << refused.what();
  }

  std::unique_ptr<GateClient> gate_;
  crypto::SoftKey room_ = crypto::SoftKey::generate();
};

TEST_F(GatePrepare, SignsAnOrderForTheEnrolledPreparerAndTheVendorKeyOfTheRegistry) {
  enroll("room-1", "preparation");
  make_vendor_key();
  const Plan plan = order_plan();
  const v1::GateReply reply = run(*gate_, plan);
  const auto opened = token::open_preparation_order(as_bytes(reply.done().made()));
  ASSERT_TRUE(std::holds_alternative<token::PreparationOrder>(opened)) << std::get<Refusal>(opened).text;
  const auto& order = std::get<token::PreparationOrder>(opened);
  const auto& detail = std::get<SePreparePlan>(plan.detail);
  EXPECT_EQ(order.appliance_id, plan.appliance);
  EXPECT_EQ(order.plan_digest, plan.digest);
  EXPECT_EQ(order.preparer, room_.public_key());
  EXPECT_EQ(order.vendor_public_key, detail.vendor_public_key);
  EXPECT_EQ(order.count, detail.count);
  EXPECT_EQ(order.expires, plan.expires);
}

TEST_F(GatePrepare, WantsAnEnrolledPreparer) {
  make_vendor_key();
  expect_refused(order_plan(), "no preparer \"room-1\"");
  enroll("room-1", "officer-approved");
  expect_refused(order_plan(), "no preparer \"room-1\"");
}

TEST_F(GatePrepare, WantsTheVendorKeyThatIsInTheHsm) {
  enroll("room-1", "preparation");
  expect_refused(order_plan(), "kf-vendor/room");
  make_vendor_key();
  expect_refused(order_plan([](SePreparePlan& plan) { plan.vendor_public_key = sample_vendor_key(); }),
                 "is not the key that the plan names");
  expect_refused(order_plan([](SePreparePlan& plan) { plan.mechanism = "rsa-oaep-sha256"; }),
                 "is not the key that the plan names");
}

TEST_F(GatePrepare, TakesFilesOfAPreparerAsItsOwn) {
  enroll("room-1", "preparation");
  Plan import = plan(Operation::SeImport);
  import.detail = SeImportPlan{"room-1", "l7.prep", crypto::sha256(as_bytes("file")), 1, {}, 0};
  run(*gate_, parsed(import));
}

}  // namespace
}  // namespace keyferry::appliance::test
