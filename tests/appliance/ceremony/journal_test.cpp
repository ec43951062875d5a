#include "appliance/front/ceremony/journal.h"

#include <gtest/gtest.h>

#include <fstream>

#include "appliance/front/ceremony/progress.h"
#include "tests/support/temp_folder.h"
#include "wrap/base/error.h"

namespace keyferry::ceremony {
namespace {

class CeremonyJournal : public testing::Test {
 protected:
  void SetUp() override {
    Journal journal{file_, clock_};
    journal.append("opened", Json{{"a", 1}});
    journal.append("begun", Json{{"step", "x\n\"{}"}});
    journal.append("done", Json{{"step", "x"}});
    head_ = journal.head();
  }

  [[nodiscard]] std::string text() const {
    const Bytes octets = read_file(file_, kMaxJournalBytes);
    return to_string(octets);
  }

  [[nodiscard]] static std::string refusal_of(const std::string& octets) {
    try {
      static_cast<void>(read_journal(as_bytes(octets), "j"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::Refused);
      return error.what();
    }
    return "";
  }

  test::TempFolder folder_;
  std::filesystem::path file_ = folder_.path() / "journal.jsonl";
  SystemClock clock_;
  Digest head_;
};

TEST_F(CeremonyJournal, IsReadBackWithTheSameHead) {
  const ReadJournal read = read_journal(as_bytes(text()), "j");
  ASSERT_EQ(read.entries.size(), 3U);
  EXPECT_EQ(read.head, head_);
  EXPECT_EQ(read.entries[1].fields["step"], "x\n\"{}");
}

TEST_F(CeremonyJournal, EveryBitThatIsChangedIsNoticed) {
  const std::string whole = text();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string edited = whole;
    edited[at] = static_cast<char>(edited[at] ^ 1);
    bool noticed = false;
    try {
      noticed = read_journal(as_bytes(edited), "j").entries.size() < 3;  // a line end that became something else
    } catch (const Error&) {
      noticed = true;
    }
    EXPECT_TRUE(noticed) << at;
  }
}

TEST_F(CeremonyJournal, ALineTakenOutPutInOrMovedIsNamed) {
  const std::string whole = text();
  const std::size_t one = whole.find('\n') + 1;
  const std::size_t two = whole.find('\n', one) + 1;
  EXPECT_NE(refusal_of(whole.substr(one)).find("line 1"), std::string::npos);
  EXPECT_NE(refusal_of(whole.substr(0, one) + whole.substr(two)).find("line 2"), std::string::npos);
  EXPECT_NE(refusal_of(whole.substr(0, two) + whole.substr(one)).find("line 3"), std::string::npos);
}

TEST_F(CeremonyJournal, ACutAppendIsTakenOffAndTheNextEntryFollows) {
  {
    std::ofstream out{file_, std::ios::app};
    out << "{\"hash\":\"00";
  }
  Journal again{file_, clock_};
  EXPECT_EQ(again.entries().size(), 3U);
  again.append("begun", Json{{"step", "y"}});
  EXPECT_EQ(read_journal(as_bytes(text()), "j").entries.size(), 4U);
}

TEST_F(CeremonyJournal, AnEntryIsBounded) {
  Journal journal{file_, clock_};
  EXPECT_THROW(journal.append("done", Json{{"x", std::string(kMaxEntryBytes, 'x')}}), Error);
  EXPECT_EQ(read_journal(as_bytes(text()), "j").entries.size(), 3U);
}

TEST_F(CeremonyJournal, OfAnotherScriptIsNotGoneOnWith) {
  const std::string script = R"(ceremony = 1
id = "s"
title = "S"
exception_roles = ["officer", "witness"]
person = [{ id = "o", role = "officer" }, { id = "w", role = "witness" }]
step = [{ id = "sign", title = "Sign", kind = "sign", who = ["o"] }]
)";
  const Script parsed = parse_script(as_bytes(script), "s");
  EXPECT_THROW(static_cast<void>(fold(parsed, read_journal(as_bytes(text()), "j").entries, "j")), Error);
}

}  // namespace
}  // namespace keyferry::ceremony
