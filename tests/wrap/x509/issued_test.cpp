#include "wrap/x509/issued.h"

#include <gtest/gtest.h>

#include "tests/wrap/x509/fixture.h"

namespace keyferry::x509 {
namespace {

using test::at;
using test::reason;

TEST(Lint, AcceptsWhatTheTemplateAsksFor) {
  test::Ca ca;
  const test::Leaf leaf = test::make_leaf(ca);
  EXPECT_EQ(
      reason(lint_device_certificate(leaf.certificate, test::device_template(ca), test::fields())),
      "");
}

TEST(Lint, RefusesACertificateOfAnotherTemplateOrEntry) {
  test::Ca ca;
  const test::Leaf leaf = test::make_leaf(ca);
  const DeviceTemplate made_with = test::device_template(ca);

  DeviceTemplate other = made_with;
  other.not_after = at("2057-01-01T00:00:00Z");
  EXPECT_EQ(reason(lint_device_certificate(leaf.certificate, other, test::fields())), "lint");
  other = made_with;
  other.subject = "CN={se_serial}";
  EXPECT_EQ(reason(lint_device_certificate(leaf.certificate, other, test::fields())), "lint");
  other = test::device_template(test::Ca{});
  EXPECT_EQ(reason(lint_device_certificate(leaf.certificate, other, test::fields())), "lint");
  SubjectFields fields = test::fields();
  fields.device_serial = "DEV-0002";
  EXPECT_EQ(reason(lint_device_certificate(leaf.certificate, made_with, fields)), "lint");
}

TEST(Lint, RefusesACa) {
  test::Ca ca;
  EXPECT_EQ(
      reason(lint_device_certificate(ca.certificate, test::device_template(ca), test::fields())),
      "lint");
}

TEST(Lint, RefusesGarbage) {
  EXPECT_EQ(reason(lint_device_certificate(*from_hex("3000"), DeviceTemplate{}, test::fields())),
            "certificate-malformed");
}

TEST(LintedShape, AllowsOtherSerialSubjectAndKey) {
  test::Ca ca;
  const DeviceTemplate device_template = test::device_template(ca);
  SubjectFields fields = test::fields();
  fields.device_serial = "A-LONGER-DEVICE-SERIAL";
  const test::Leaf linted = test::make_leaf(ca);
  const test::Leaf other = test::make_leaf(ca, device_template, fields);
  EXPECT_EQ(reason(test::compare(other, linted)), "");
}

TEST(LintedShape, RefusesAnyOtherDifference) {
  test::Ca ca;
  const test::Leaf linted = test::make_leaf(ca);
  DeviceTemplate longer = test::device_template(ca);
  longer.not_after = at("2056-06-01T00:00:00Z");
  EXPECT_EQ(reason(test::compare(test::make_leaf(ca, longer), linted)), "lint");
  test::Ca other;
  EXPECT_EQ(reason(test::compare(test::make_leaf(other), linted)),
            "lint");  // authority key identifier

  Bytes changed = linted.tbs;
  const Bytes usage = *from_hex("03020780");
  const auto found = std::ranges::search(changed, usage);
  *(found.end() - 1) = 0xc0;
  const LintedShape shape{linted.tbs};
  EXPECT_EQ(reason(shape.compare(changed, linted.key.public_key())), "lint");
  EXPECT_EQ(reason(shape.compare({}, linted.key.public_key())), "lint");
}

}  // namespace
}  // namespace keyferry::x509
