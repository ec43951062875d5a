#include "wrap/p11/session.h"

#include "tests/wrap/p11/fixture.h"
#include "wrap/base/error.h"

namespace keyferry::p11 {
namespace {

using SessionTest = OnToken;
using test_support::pin;

Template note(std::string_view label, ByteView content) {
  return Template{}
      .object_class(ObjectClass::Data)
      .token(true)
      .private_(true)
      .label(label)
      .application("keyferry")
      .value(content);
}

TEST(Login, GivesAWrongPinAsAValue) {
  auto& store = test_support::SoftHsmStore::shared();
  const TokenInfo token = store.add_token("login");
  Session session{store.module(), token.slot, Access::ReadWrite};
  EXPECT_EQ(session.login(Role::User, pin("0000000")), LoginResult::WrongPin);
  EXPECT_EQ(session.login(Role::User, pin("1")), LoginResult::WrongPin);
  EXPECT_EQ(session.login(Role::User, pin(test_support::kUserPin)), LoginResult::Ok);
  EXPECT_EQ(session.login(Role::User, pin(test_support::kUserPin)), LoginResult::Ok)
      << "logged in already";
}

TEST(Login, RefusesInWordsWithoutThePin) {
  auto& store = test_support::SoftHsmStore::shared();
  const TokenInfo token = store.add_token("login-words");
  Session session{store.module(), token.slot, Access::ReadWrite};
  try {
    session.login_or_throw(Role::User, pin("9999999"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Refused);
    const std::string text = error.what();
    EXPECT_NE(text.find("login as user to token \"login-words\""), std::string::npos) << text;
    EXPECT_NE(text.find("the PIN is wrong"), std::string::npos) << text;
    EXPECT_EQ(text.find("9999999"), std::string::npos) << text;
  }
}

TEST(Login, ChangesAPin) {
  auto& store = test_support::SoftHsmStore::shared();
  const TokenInfo token = store.add_token("new-pin");
  Session session{store.module(), token.slot, Access::ReadWrite};
  session.login_or_throw(Role::User, pin(test_support::kUserPin));
  EXPECT_EQ(session.set_pin(pin("0000000"), pin("7654321")), LoginResult::WrongPin);
  EXPECT_EQ(session.set_pin(pin(test_support::kUserPin), pin("7654321")), LoginResult::Ok);
  session.logout();
  EXPECT_EQ(session.login(Role::User, pin(test_support::kUserPin)), LoginResult::WrongPin);
  EXPECT_EQ(session.login(Role::User, pin("7654321")), LoginResult::Ok);
}

TEST(Login, TellsATokenWithoutUserPin) {
  auto& store = test_support::SoftHsmStore::shared();
  const auto slot = store.module().uninitialised_slot();
  ASSERT_TRUE(slot);
  static_cast<void>(store.module().init_token(*slot, pin(test_support::kSoPin), "no-user-pin"));
  Session session{store.module(), *slot, Access::ReadWrite};
  EXPECT_EQ(session.login(Role::User, pin(test_support::kUserPin)), LoginResult::NoPinSet);
}

TEST_F(SessionTest, FindsOneObjectByClassAndLabel) {
  const Key made = session().create_object(note("found", as_bytes("content")));
  const auto found = session().find_one(ObjectClass::Data, "found");
  ASSERT_TRUE(found);
  EXPECT_EQ(keyferry::to_string(session().read_bytes(*found, Attribute::Value).value), "content");
  EXPECT_EQ(session().find_one(ObjectClass::Data, "not there"), std::nullopt);
  EXPECT_EQ(session().find_one(ObjectClass::Certificate, "found"), std::nullopt);
  session().destroy(*found);
  EXPECT_EQ(session().find_one(ObjectClass::Data, "found"), std::nullopt);
}

TEST_F(SessionTest, RefusesTwoObjectsWithOneLabel) {
  const Key first = session().create_object(note("twice", as_bytes("1")));
  const Key second = session().create_object(note("twice", as_bytes("2")));
  EXPECT_THROW(static_cast<void>(session().find_one(ObjectClass::Data, "twice")), Error);
  session().destroy(first);
  session().destroy(second);
}

TEST_F(SessionTest, FindsMoreThanOneCallGives) {
  for (std::uint8_t i = 0; i < 70; ++i) {
    static_cast<void>(session().create_object(note("many", Bytes{i}).token(false)).release());
  }
  const auto found = session().find(Template{}.label("many"));
  EXPECT_EQ(found.size(), 70U);
  for (const ObjectHandle object : found) session().destroy(object);
}

TEST_F(SessionTest, ReadsALargeValueWhole) {
  const Bytes content(100'000, 0x5A);
  const Key made = session().create_object(note("large", content).token(false));
  EXPECT_EQ(session().read_bytes(made, Attribute::Value).value, content);
}

TEST_F(SessionTest, TellsSensitiveFromAbsent) {
  const Key key = session().generate_aes(aes(true, false).value_len(32));
  EXPECT_EQ(session().read_bytes(key, Attribute::Value).state, Read<Bytes>::State::Sensitive);
  EXPECT_EQ(session().read_secret(key).state, Read<SecretBytes>::State::Sensitive);
  EXPECT_EQ(session().read_bytes(key, Attribute::Modulus).state, Read<Bytes>::State::Absent);
  EXPECT_TRUE(session().read_bool(key, Attribute::Sensitive).is(true));
  EXPECT_TRUE(session().read_number(key, Attribute::ValueLen).is(32));
}

TEST_F(SessionTest, ReadsTheWholePolicyOfAKey) {
  const Key key = session().generate_aes(aes(true, false)
                                             .value_len(32)
                                             .label("policy")
                                             .derive(true)
                                             .allowed_mechanisms({Mechanism::AesEcbEncryptData}));
  const PolicyAttributes policy = session().read_policy(key);
  EXPECT_TRUE(policy.object_class.is(static_cast<unsigned long>(ObjectClass::SecretKey)));
  EXPECT_TRUE(policy.key_type.is(static_cast<unsigned long>(KeyType::Aes)));
  EXPECT_TRUE(policy.derive.is(true));
  EXPECT_TRUE(policy.sensitive.is(true));
  EXPECT_TRUE(policy.extractable.is(false));
  EXPECT_TRUE(policy.never_extractable.is(true));
  EXPECT_TRUE(policy.allowed_mechanisms.is({Mechanism::AesEcbEncryptData}));
}

TEST_F(SessionTest, NamesTheAttributesThatDrifted) {
  const Template made =
      aes(true, false)
          .value_len(32)
          .label("role")
          .derive(true)
          .wrap(false)
          .allowed_mechanisms({Mechanism::AesEcbEncryptData, Mechanism::AesKeyWrapPad});
  const Key key = session().generate_aes(made);
  EXPECT_EQ(session().differences(key, made), std::vector<std::string>{});
  Template expected = made;
  expected.wrap(true).label("other").allowed_mechanisms({Mechanism::AesEcbEncryptData});
  EXPECT_EQ(session().differences(key, expected),
            (std::vector<std::string>{"CKA_WRAP", "CKA_LABEL", "CKA_ALLOWED_MECHANISMS"}));
}

TEST_F(SessionTest, ComparesNestedTemplates) {
  const Template inner =
      Template{}.object_class(ObjectClass::PrivateKey).sensitive(true).extractable(false);
  const Template made = aes(true, false).value_len(32).unwrap(true).unwrap_template(inner);
  const Key key = session().generate_aes(made);
  EXPECT_EQ(session().differences(key, made), std::vector<std::string>{});
  Template other = inner;
  Template expected = made;
  expected.unwrap_template(other.extractable(true));
  EXPECT_EQ(session().differences(key, expected), std::vector<std::string>{"CKA_UNWRAP_TEMPLATE"});
}

TEST_F(SessionTest, DestroysASessionObjectAtTheEndOfItsScope) {
  {
    const Key key = session().generate_aes(aes(true, false).value_len(32).label("short-lived"));
    EXPECT_TRUE(session().find_one(ObjectClass::SecretKey, "short-lived"));
  }
  EXPECT_EQ(session().find_one(ObjectClass::SecretKey, "short-lived"), std::nullopt);
  EXPECT_EQ(session().failed_destroys(), 0);
}

TEST_F(SessionTest, LeavesATokenObjectWhereItIs) {
  {
    const Key key =
        session().generate_aes(aes(true, false).token(true).value_len(32).label("stays"));
  }
  const auto found = session().find_one(ObjectClass::SecretKey, "stays");
  ASSERT_TRUE(found);
  session().destroy(*found);
}

TEST_F(SessionTest, CountsADestructionThatFailed) {
  {
    const Key key = session().generate_aes(aes(true, false).value_len(32));
    session().destroy(key);
  }
  EXPECT_EQ(session().failed_destroys(), 1);
}

TEST_F(SessionTest, MovesAKeyWithoutDestroyingIt) {
  Key first = session().generate_aes(aes(true, false).value_len(32).label("moved"));
  Key second = std::move(first);
  first = Key{};
  EXPECT_TRUE(session().find_one(ObjectClass::SecretKey, "moved"));
  second = session().generate_aes(aes(true, false).value_len(32));
  EXPECT_EQ(session().find_one(ObjectClass::SecretKey, "moved"), std::nullopt);
}

TEST_F(SessionTest, NamesTheObjectOfAFailedCall) {
  const Key kek = session().generate_aes(aes(true, false).value_len(32).wrap(true).label("kek"));
  const Key locked = session().generate_aes(aes(true, false).value_len(32).label("dev-root"));
  try {
    static_cast<void>(session().wrap(Mechanism::AesKeyWrapPad, kek, locked));
    FAIL();
  } catch (const Pkcs11Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("C_WrapKey: CKR_KEY_UNEXTRACTABLE (key \"dev-root\", slot "),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("under key \"kek\""), std::string::npos) << text;
  }
}

TEST_F(SessionTest, PrintsNoControlCharactersOfALabel) {
  const Key key = session().generate_aes(aes(true, false).value_len(32).label("a\x1b[2Jb"));
  EXPECT_EQ(session().describe(key).find('\x1b'), std::string::npos);
}

TEST_F(SessionTest, GivesRandomOctets) {
  EXPECT_NE(session().generate_random(32), session().generate_random(32));
}

}  // namespace
}  // namespace keyferry::p11
