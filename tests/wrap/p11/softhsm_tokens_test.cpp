#include "wrap/p11/softhsm_tokens.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"
#include "wrap/base/durable_file.h"

namespace keyferry::p11 {
namespace {

namespace fs = std::filesystem;

class SoftHsmTokens : public testing::Test {
 protected:
  SoftHsmTokens() {
    fs::create_directories(object().parent_path());
    write("generat1 the token");
    keep_softhsm_tokens(store());
  }

  [[nodiscard]] fs::path store() const { return folder_.path() / "tokens"; }

  [[nodiscard]] fs::path object() const { return store() / "7a1a0dad" / "token.object"; }

  [[nodiscard]] fs::path copy() const { return store() / "7a1a0dad" / "token.copy"; }

  void write(std::string_view text) const {
    write_file_durably(object(), as_bytes(text), Overwrite::Replace);
  }

  [[nodiscard]] static std::string text_of(const fs::path& path) {
    return to_string(read_file(path, 1024));
  }

 private:
  test::TempFolder folder_;
};

TEST_F(SoftHsmTokens, AnEmptiedOneIsPutBack) {
  for (const std::string_view left : {"", "new-gen."}) {
    write(left);
    keep_softhsm_tokens(store());
    EXPECT_EQ(text_of(object()), "generat1 the token") << "was left: \"" << left << '"';
  }
}

TEST_F(SoftHsmTokens, TheCopyFollowsANewPinAndNotEachLogin) {
  write("generat2 the token");
  keep_softhsm_tokens(store());
  EXPECT_EQ(text_of(copy()).substr(0, 8), "generat1") << "the same but for the count of writes";
  write("generat3 another PIN");
  keep_softhsm_tokens(store());
  EXPECT_EQ(text_of(copy()), "generat3 another PIN");
}

TEST_F(SoftHsmTokens, WithoutACopyNothingIsMadeUp) {
  fs::remove(copy());
  write("");
  keep_softhsm_tokens(store());
  EXPECT_EQ(text_of(object()), "");
  EXPECT_FALSE(fs::exists(copy()));
}

TEST_F(SoftHsmTokens, AStoreThatIsNotThereStaysSo) {
  keep_softhsm_tokens(store() / "nowhere");
  EXPECT_FALSE(fs::exists(store() / "nowhere"));
}

}  // namespace
}  // namespace keyferry::p11
