#include "wrap/p11/template.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry::p11 {
namespace {

TEST(Template, ReplacesAnAttributeThatIsSetAgain) {
  const Template attributes = Template{}.wrap(true).label("a").wrap(false);
  EXPECT_EQ(attributes.entries().size(), 2U);
  EXPECT_EQ(attributes.boolean_of(Attribute::Wrap), false);
}

TEST(Template, KeepsTheOrderOfSetting) {
  const Template attributes = Template{}.label("a").object_class(ObjectClass::Data).token(true);
  EXPECT_EQ(attributes.entries()[0].attribute, Attribute::Label);
  EXPECT_EQ(attributes.entries()[1].attribute, Attribute::Class);
  EXPECT_EQ(attributes.entries()[2].attribute, Attribute::Token);
}

TEST(Template, HoldsNumbersWhereAModuleMayReadThemInPlace) {
  const Template attributes = Template{}.token(true).label("abc").value_len(32);
  const auto octets = attributes.octets_of(*attributes.find(Attribute::ValueLen));
  EXPECT_EQ(octets.size(), sizeof(unsigned long));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(octets.data()) % alignof(unsigned long), 0U);
}

TEST(Template, IsAValueThatCanBeCopied) {
  const Template original = Template{}
                                .secret_value(SecretBytes::copy_of(as_bytes("0123")))
                                .unwrap_template(Template{}.sign(true));
  Template copy = original;
  copy.remove(Attribute::Value).label("copy");
  EXPECT_EQ(to_string(original.octets_of(*original.find(Attribute::Value))), "0123");
  EXPECT_EQ(copy.find(Attribute::Value), nullptr);
  EXPECT_EQ(copy.nested_of(*copy.find(Attribute::UnwrapTemplate)).boolean_of(Attribute::Sign),
            true);
}

TEST(Template, HoldsOneSecret) {
  Template attributes = Template{}.secret_value(SecretBytes{16});
  EXPECT_NO_THROW(attributes.secret_value(SecretBytes{32}));
  EXPECT_EQ(attributes.entries().size(), 1U);
}

}  // namespace
}  // namespace keyferry::p11
