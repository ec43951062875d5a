#include "wrap/base/error.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <set>

namespace keyferry {
namespace {

constexpr std::array kCodes{Code::InvalidArgument,
                            Code::Usage,
                            Code::Refused,
                            Code::NotFound,
                            Code::Hsm,
                            Code::Storage,
                            Code::Medium,
                            Code::Channel,
                            Code::Quorum,
                            Code::Rollback,
                            Code::Internal};

TEST(ErrorCode, HasANameOfItsOwnThatLeadsBack) {
  std::set<std::string_view> names;
  for (const Code code : kCodes) {
    EXPECT_EQ(code_from_name(code_name(code)), code) << code_name(code);
    names.insert(code_name(code));
  }
  EXPECT_EQ(names.size(), kCodes.size());
  EXPECT_EQ(code_from_name("no such code"), Code::Internal);
}

TEST(ErrorCode, HasTheExitStatusOfTheStyleGuide) {
  EXPECT_EQ(exit_status(Code::Refused), 1);
  EXPECT_EQ(exit_status(Code::Usage), 2);
  EXPECT_EQ(exit_status(Code::Storage), 3);
  EXPECT_EQ(exit_status(Code::Quorum), 4);
  EXPECT_EQ(exit_status(Code::Internal), 70);
  for (const Code code : kCodes) EXPECT_NE(exit_status(code), 0) << code_name(code);
}

TEST(SystemError, SaysWhatWasTriedAndWhy) {
  const Error error = system_error(Code::Storage, "open x", ENOENT);
  EXPECT_STREQ(error.what(), "open x: No such file or directory");
  EXPECT_EQ(error.code(), Code::Storage);
}

TEST(RefusalAsError, KeepsTextAndHint) {
  const Error error = to_error(Refusal{.reason = "too-old", .text = "too old", .hint = "renew it"});
  EXPECT_EQ(error.code(), Code::Refused);
  EXPECT_STREQ(error.what(), "too old");
  EXPECT_EQ(error.hint(), "renew it");
}

}  // namespace
}  // namespace keyferry
