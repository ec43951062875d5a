#include "appliance/ledger/custody_store.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"
#include "wrap/base/random.h"

namespace keyferry::appliance {
namespace {

constexpr std::array kStates{CustodyState::None, CustodyState::Here,    CustodyState::Out,
                             CustodyState::Back, CustodyState::Retired, CustodyState::Lost};
constexpr std::array kEvents{CustodyEvent::Enrolled,  CustodyEvent::HandedOut, CustodyEvent::Returned,
                             CustodyEvent::Inspected, CustodyEvent::Retired,   CustodyEvent::Lost};

TEST(CustodyStates, ATokenIsEnrolledOnceAndFirst) {
  for (const CustodyState from : kStates) {
    EXPECT_EQ(next(from, CustodyEvent::Enrolled).has_value(), from == CustodyState::None);
  }
  for (const CustodyEvent event : kEvents) {
    EXPECT_EQ(next(CustodyState::None, event).has_value(), event == CustodyEvent::Enrolled);
  }
}

TEST(CustodyStates, NothingReachesARetiredToken) {
  for (const CustodyEvent event : kEvents) EXPECT_FALSE(next(CustodyState::Retired, event));
}

TEST(CustodyStates, OnlyAnInspectedTokenLeaves) {
  EXPECT_TRUE(next(CustodyState::Here, CustodyEvent::HandedOut));
  EXPECT_FALSE(next(CustodyState::Back, CustodyEvent::HandedOut));
  EXPECT_FALSE(next(CustodyState::Lost, CustodyEvent::HandedOut));
}

TEST(CustodyStates, HaveTheNamesOfTheLedger) {
  for (const CustodyState state : kStates) EXPECT_EQ(custody_state_from_name(state_name(state)), state);
  for (const CustodyEvent event : kEvents) EXPECT_FALSE(event_name(event).empty());
  EXPECT_FALSE(custody_state_from_name("eaten"));
}

class Custody : public testing::Test {
 protected:
  Custody() { register_custody_actions(ledger_); }

  void apply(const CustodyAct& act) {
    store::WriteTransaction transaction{ledger_.database()};
    ledger_.apply_in_transaction(custody_action(act));
    transaction.commit();
  }

  test::TempFolder folder_;
  Ledger ledger_{folder_ / "ledger.db", store::Role::Writer};
  SystemRandom random_;
};

TEST_F(Custody, AnActIsReadBackAsItWasMade) {
  CustodyAct act{.token = random_.id<TokenId>(),
                 .sequence = 1,
                 .event = CustodyEvent::Enrolled,
                 .state = CustodyState::Here,
                 .label = "t7",
                 .time = UtcMillis{1000},
                 .statement = to_bytes(as_bytes("signed"))};
  apply(act);
  act.sequence = 2;
  act.event = CustodyEvent::HandedOut;
  act.state = CustodyState::Out;
  act.direction = "out";
  act.bag = "A-1";
  act.name = "C. Courier";
  act.name_salt = random_.bytes(16);
  act.due = UtcMillis{5000};
  act.time = UtcMillis{2000};
  apply(act);
  const auto acts = CustodyStore{ledger_}.acts(act.token);
  ASSERT_EQ(acts.size(), 2U);
  EXPECT_EQ(acts[0].state, CustodyState::Here);
  const CustodyAct& read = acts[1];
  EXPECT_EQ(read.event, CustodyEvent::HandedOut);
  EXPECT_EQ(read.state, CustodyState::Out);
  EXPECT_EQ(read.label, "t7");
  EXPECT_EQ(read.direction, "out");
  EXPECT_EQ(read.bag, "A-1");
  EXPECT_EQ(read.name, "C. Courier");
  EXPECT_EQ(read.name_salt, act.name_salt);
  EXPECT_EQ(read.due, act.due);
  EXPECT_EQ(read.time, act.time);
  EXPECT_EQ(read.statement, act.statement);
  ASSERT_EQ(CustodyStore{ledger_}.newest().size(), 1U);
  EXPECT_EQ(CustodyStore{ledger_}.newest().front().sequence, 2U);
}

TEST_F(Custody, AnErasedNameLeavesTheActAsItIs) {
  CustodyAct act{
      .token = random_.id<TokenId>(), .sequence = 1, .event = CustodyEvent::Enrolled, .state = CustodyState::Here};
  act.name = "C. Courier";
  act.name_salt = random_.bytes(16);
  apply(act);
  ledger_.database().exec("DELETE FROM custody_name");
  EXPECT_TRUE(CustodyStore{ledger_}.newest(act.token)->name.empty());
  EXPECT_THROW(ledger_.database().exec("UPDATE custody SET state = 'lost'"), SQLite::Exception);
}

TEST_F(Custody, ACutActIsDamageAndNotHalfAnAct) {
  CustodyAct act{
      .token = random_.id<TokenId>(), .sequence = 1, .event = CustodyEvent::Enrolled, .state = CustodyState::Here};
  Action action = custody_action(act);
  action.data.resize(20);
  store::WriteTransaction transaction{ledger_.database()};
  EXPECT_THROW(ledger_.apply_in_transaction(action), Error);
}

}  // namespace
}  // namespace keyferry::appliance
