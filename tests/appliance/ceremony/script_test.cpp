#include "appliance/front/ceremony/script.h"

#include <gtest/gtest.h>

#include <string>

#include "appliance/front/ceremony/printed.h"
#include "wrap/base/error.h"
#include "wrap/label/qr.h"

namespace keyferry::ceremony {
namespace {

const std::string kGood = R"toml(
ceremony = 1
id = "s"
title = "A script"
environment = "production"
exception_roles = ["officer", "witness"]
[[person]]
id = "o"
role = "officer"
[[person]]
id = "w"
role = "witness"
[[field]]
id = "room"
label = "room"
pattern = "[A-Z][0-9]+"
[[step]]
id = "one"
title = "Ask"
kind = "ask"
who = ["o"]
field = "room"
[[step]]
id = "two"
title = "Do"
kind = "command"
who = ["o"]
argv = ["keyferry-appliance", "--home", "{home}", "x", "{room}"]
again = true
capture = [{ name = "words", json = "a.0.b" }]
[[step]]
id = "three"
title = "Look"
kind = "confirm"
who = ["o", "w"]
text = "{words} {{not a name}}"
[[step]]
id = "last"
title = "Sign"
kind = "sign"
who = ["o"]
)toml";

std::string with(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string refusal_of(const std::string& text) {
  try {
    static_cast<void>(parse_script(as_bytes(text), "s.toml"));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Usage);
    return error.what();
  }
  return "";
}

TEST(CeremonyScript, IsReadWithItsPeopleFieldsAndSteps) {
  const Script script = parse_script(as_bytes(kGood), "s.toml");
  EXPECT_EQ(script.steps.size(), 4U);
  EXPECT_EQ(script.person("w")->number, 2U);
  EXPECT_EQ(script.steps[1].capture.front().json, "a.0.b");
  EXPECT_TRUE(script.rehearsal_required);
}

struct BadCase {
  const char* from;
  const char* to;
  const char* said;
};

class BadScripts : public testing::TestWithParam<BadCase> {};

TEST_P(BadScripts, AreRefusedWithThePlace) {
  const BadCase& one = GetParam();
  const std::string said = refusal_of(with(one.from, one.to));
  EXPECT_NE(said.find(one.said), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(
    Script, BadScripts,
    testing::Values(
        BadCase{"ceremony = 1", "ceremony = 2", "\"ceremony\""}, BadCase{"title = \"A script\"", "titel = \"A\"", "\"title\" is missing"},
        BadCase{"title = \"A script\"", "title = \"A\"\nmore = 1", "\"more\" is unknown"},
        BadCase{"title = \"A script\"", "title = \"A \\u001b[2J\"", "printable"},
        BadCase{"\"production\"", "\"moon\"", "\"environment\""}, BadCase{"role = \"witness\"", "role = \"king\"", "\"role\""},
        BadCase{"id = \"w\"", "id = \"o\"", "two persons"}, BadCase{"[A-Z][0-9]+", "([A-Z])\\\\1", "back reference"},
        BadCase{"[A-Z][0-9]+", "[", "no regular expression"}, BadCase{"kind = \"ask\"", "kind = \"beg\"", "\"kind\""},
        BadCase{"field = \"room\"", "field = \"floor\"", "no field"}, BadCase{"{room}\"]", "{floor}\"]", "no earlier step fills {floor}"},
        BadCase{"{words}", "{word", "braces"}, BadCase{"\"keyferry-appliance\"", "\"/bin/sh\"", "program of this product"},
        BadCase{"again = true", "", "needs either"}, BadCase{"again = true", "again = true\ncheck = [\"keyferry-audit\"]", "needs either"},
        BadCase{"who = [\"o\", \"w\"]", "who = [\"o\"]", "2 to"}, BadCase{"who = [\"o\", \"w\"]", "who = [\"o\", \"x\"]", "none of the people"},
        BadCase{"id = \"three\"", "id = \"two\"", "has this id"}, BadCase{"kind = \"sign\"", "kind = \"say\"\ntext = \"x\"", "of kind sign"},
        BadCase{"\"officer\", \"witness\"", "\"officer\", \"auditor\"", "of role auditor"}, BadCase{"a.0.b", "", "printable"},
        BadCase{"name = \"words\"", "name = \"room\"", "filled twice"}, BadCase{"name = \"words\"", "name = \"home\"", "filled twice"},
        BadCase{"ceremony = 1", "ceremony = ", "no TOML: line 2"}));

TEST(CeremonyScript, IsBounded) {
  EXPECT_NE(refusal_of(kGood + "#" + std::string(kMaxScriptBytes, 'x')).find("larger than"), std::string::npos);
}

TEST(CeremonyField, TakesWhatItsPatternTakesAndNoOptionOrEscape) {
  const Field field{"f", "label", ".*"};
  EXPECT_FALSE(refuse_value(field, "B12"));
  EXPECT_TRUE(refuse_value(field, "--home"));
  EXPECT_TRUE(refuse_value(field, "a\x1b[2J"));
  EXPECT_TRUE(refuse_value(field, ""));
  EXPECT_TRUE(refuse_value(field, std::string(kMaxValueChars + 1, 'a')));
  EXPECT_TRUE(refuse_value({"f", "label", "[a-z]+"}, "abc1"));
}

TEST(CeremonyField, APatternThatBacktracksForeverElsewhereEndsHere) {
  EXPECT_TRUE(refuse_value({"f", "label", "(a|a)*b|(a*)*c"}, std::string(kMaxValueChars, 'a')));
}

TEST(CeremonyText, ReplacesNamesAndKeepsDoubledBraces) {
  EXPECT_EQ(expand("{a}-{{x}}-{b}", Values{{"a", "1"}, {"b", "{a}"}}), "1-{x}-{a}");
}

TEST(CeremonyText, ACommandLineCanBeTypedAsItStands) {
  EXPECT_EQ(command_line({"a", "--x=1", "two words", "it's", ""}), "a --x=1 'two words' 'it'\\''s' ''");
}

TEST(CeremonyPaper, HasABoxForEachPersonOfEachStep) {
  const std::string page = printed_html(parse_script(as_bytes(kGood), "s.toml"));
  EXPECT_NE(page.find("{room}"), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos);
}

TEST(CeremonyQr, IsSquareWithFinderPatternsAndHalfTheLines) {
  const auto modules = label::qr_modules("keyferry");
  ASSERT_GE(modules.size(), 21U);
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_TRUE(modules[0][i] && modules[i][0] && modules[0][modules.size() - 1 - i]) << i;
  }
  EXPECT_FALSE(modules[1][1]);
  EXPECT_EQ(label::qr_lines("keyferry").size(), (modules.size() + 4 + 1) / 2);
  EXPECT_THROW(static_cast<void>(label::qr_modules(std::string(2001, 'x'))), Error);
}

}  // namespace
}  // namespace keyferry::ceremony
