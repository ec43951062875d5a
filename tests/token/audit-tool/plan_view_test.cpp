#include "token/audit-tool/plan_view.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "token/audit-tool/transcript_view.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit_tool {
namespace {

std::string refusal_of(std::string_view text) {
  try {
    static_cast<void>(view_plan(as_bytes(text), "plan.toml"));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Usage);
    return error.what();
  }
  return "";
}

std::string value_of(const PlanView& view, std::string_view name) {
  const auto found = std::ranges::find(view.fields, name, [](const auto& field) { return field.first; });
  return found == view.fields.end() ? "" : found->second;
}

TEST(PlanView, ShowsEachFieldOfTheFileInItsOrderAndTheDigestOfItsOctets) {
  const std::string text = "operation = \"batch\"\nnumber = 7\n[batch]\nz = true\na = [1, \"two\"]\nnone = []\n";
  const PlanView view = view_plan(as_bytes(text), "plan.toml");
  EXPECT_EQ(view.digest, crypto::sha256(as_bytes(text)));
  EXPECT_EQ(from_words(view.words), to_bytes(view.digest.bytes()));
  std::vector<std::string> names;
  for (const auto& [name, value] : view.fields) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"operation", "number", "batch.z", "batch.a[0]", "batch.a[1]", "batch.none"}));
  EXPECT_EQ(value_of(view, "batch.a[1]"), "\"two\"");
  EXPECT_EQ(value_of(view, "batch.none"), "(none)");
}

TEST(PlanView, TakesThePlansOfTheFuzzCorpus) {
  for (const char* name : {"batch", "ca-create", "hsm-backup", "se-import"}) {
    const std::string file = std::string{KEYFERRY_SOURCE_DIR} + "/tests/fuzz/corpus/plan/" + name + ".toml";
    EXPECT_EQ(value_of(view_plan(read_file(file, kMaxPlanBytes), file), "operation"), "\"" + std::string{name} + "\"");
  }
}

TEST(PlanView, LetsNoEscapeSequenceThrough) {
  const PlanView view = view_plan(as_bytes("operation = \"x\\u001b[2J\"\n\"\\u0007key\" = \"\xc3\xa9\"\n"), "plan.toml");
  for (const auto& [name, value] : view.fields) {
    for (const char c : name + value) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  }
}

TEST(PlanView, SaysWhatIsNoPlan) {
  EXPECT_NE(refusal_of("").find("empty"), std::string::npos);
  EXPECT_NE(refusal_of(std::string(kMaxPlanBytes + 1, '#')).find("larger"), std::string::npos);
  EXPECT_NE(refusal_of(std::string_view{"\x7f" "ELF\0\1\2", 7}).find("line 1"), std::string::npos);
  EXPECT_NE(refusal_of("operation = ").find("line 1"), std::string::npos);
  EXPECT_NE(refusal_of("title = \"x\"").find("names no operation"), std::string::npos);
  EXPECT_NE(refusal_of("operation = \"x\"\na = " + std::string(5000, '[') + std::string(5000, ']')).find("no plan"), std::string::npos);
  std::string many = "operation = \"x\"\na = [";
  for (std::size_t i = 0; i < kMaxFields; ++i) many += "1,";
  EXPECT_NE(refusal_of(many + "]").find("more than"), std::string::npos);
}

TEST(TranscriptView, IsTheDigestOfTheOctets) {
  const std::string text = "transcript";
  EXPECT_EQ(view_transcript(as_bytes(text), "t").digest, crypto::sha256(as_bytes(text)));
  EXPECT_THROW(static_cast<void>(view_transcript({}, "t")), Error);
}

}  // namespace
}  // namespace keyferry::audit_tool
