// Records of ATECC608 in a module that digests no key: the worker reads the transport key.
#include <gtest/gtest.h>

#include "tests/shim/shim_store.h"
#include "tests/wrap/se/atecc608_chip.h"
#include "tests/wrap/se/atecc608_example.h"
#include "wrap/se/atecc608_builder.h"

namespace keyferry::se {
namespace {

using p11::KeyType;
using p11::ObjectClass;
using p11::Template;
using test_support::ShimStore;

class Atecc608WithoutDigestKey : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    module_ = ShimStore::shared().load(GetParam());
    session_ = ShimStore::log_in(*module_);
    facts_ = p11::probe(*session_);
  }

  std::unique_ptr<p11::Module> module_;
  std::unique_ptr<p11::Session> session_;
  p11::ProbeResult facts_;
  SystemRandom random_;
};

TEST_P(Atecc608WithoutDigestKey, IsNoticedAndTheRecordIsMadeAllTheSame) {
  ASSERT_TRUE(facts_.usable());
  EXPECT_EQ(transport_place(facts_), TransportPlace::Worker);
  Pkcs11Builder pkcs11{*session_, facts_};
  Atecc608Builder builder{*session_, facts_, pkcs11, example_profile()};
  const p11::Key master = session_->create_object(Template{}
                                                      .object_class(ObjectClass::SecretKey)
                                                      .key_type(KeyType::Aes)
                                                      .token(false)
                                                      .private_(true)
                                                      .sensitive(true)
                                                      .extractable(false)
                                                      .derive(true)
                                                      .secret_value(SecretBytes{32}));
  const p11::Key transport =
      builder.derive_transport_key(master, "chips-a", example_chip_entry(), Kdf::KfKdf1);
  const auto octets = session_->read_secret(transport);
  ASSERT_TRUE(octets);
  const auto built = builder.build(example_chip_entry(), transport, random_);
  const auto key = open_as_chip(built.payload, octets.value.expose());
  ASSERT_TRUE(key);
  EXPECT_EQ(key->public_key(), built.public_key);
}

// CKR_KEY_INDIGESTIBLE: all keys; and in a module whose refusal leaves the digest operation open.
INSTANTIATE_TEST_SUITE_P(Modules,
                         Atecc608WithoutDigestKey,
                         ::testing::Values("fault C_DigestKey nth=1 rv=0x67 repeat\n",
                                           "fault C_DigestKey nth=1 rv=0x67 repeat stuck\n"));

}  // namespace
}  // namespace keyferry::se
