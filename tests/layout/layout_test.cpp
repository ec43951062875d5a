// Holds the tree against its picture: who may include whom (one table below), where Cryptoki and protobuf may be
// seen, what stands at the top, and that each cut point has a name of its own. Reads the sources as text; nothing is
// compiled or linked here, so the rules also cover code that this build leaves out.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// One folder of the picture and the folders whose headers it may include, itself not repeated.
struct Direction {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};

/// The picture, top to bottom. A folder that is not named here belongs to the nearest named one above it.
/// Within a row nothing sees its neighbour, but for three steps to the left: certificates carry signatures (x509 to
/// crypto), the pkcs11 payload is made by the module (se to p11), and a token carries checkpoints (token to audit).
const std::vector<Direction>& picture() {
  static const std::vector<Direction> rows{
      {"proto", {}},
      {"wrap/base", {"proto"}},
      {"wrap/crypto", {"proto", "wrap/base"}},
      {"wrap/x509", {"proto", "wrap/base", "wrap/crypto"}},
      {"wrap/store", {"proto", "wrap/base"}},
      {"wrap/label", {"proto", "wrap/base"}},
      {"wrap/p11", {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store"}},
      {"wrap/se", {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/p11"}},
      {"wrap/evidence", {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store"}},
      {"token/audit",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/evidence"}},
      {"token",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/evidence",
        "token/audit"}},
      {"token/bundle",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/evidence",
        "token/audit", "token"}},
      {"token/audit-tool",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/evidence",
        "token/audit", "token", "token/bundle"}},
      {"appliance",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/p11", "wrap/se",
        "wrap/evidence", "wrap/label", "token/audit", "token", "token/bundle"}},
      {"station-agent",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/p11", "wrap/se",
        "wrap/evidence", "wrap/label", "token/audit", "token"}},
      // The virtual chips never call the payload builders: both sides would share one mistake.
      {"tests/vse",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/p11", "tests/support"}},
      {"tests",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/p11", "wrap/se",
        "wrap/evidence", "wrap/label", "token/audit", "token", "token/bundle", "token/audit-tool", "appliance", "station-agent",
        "tests/vse", "tests/support"}},
      {"tests/support",
       {"proto", "wrap/base", "wrap/crypto", "wrap/x509", "wrap/store", "wrap/p11", "wrap/se",
        "wrap/evidence", "token/audit", "token"}},
  };
  return rows;
}

constexpr std::array<std::string_view, 5> kSourceRoots{"appliance", "wrap", "token", "station-agent",
                                                       "tests"};

/// Folders that may name Cryptoki: the typed layer and the tests that hold it against the bare calls.
constexpr std::array<std::string_view, 4> kCryptokiFolders{"wrap/p11", "tests/wrap/p11", "tests/shim",
                                                           "tests/bench"};

/// What stands at the top of the repository; names that begin with a dot are free, build/ is not kept by git.
constexpr std::array<std::string_view, 12> kTopLevel{
    "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "appliance", "build",
    "deploy",         "proto",             "station-agent", "tests", "token", "wrap"};

fs::path root() { return fs::path{KEYFERRY_SOURCE_DIR}; }

struct Source {
  std::string path;  // from the root, with '/'
  std::string text;
};

std::string read_text(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}};
}

/// Every .h and .cpp below the source roots, by path.
const std::vector<Source>& sources() {
  static const std::vector<Source> all = [] {
    std::vector<Source> found;
    for (const std::string_view top : kSourceRoots) {
      for (const auto& entry : fs::recursive_directory_iterator{root() / top}) {
        const std::string extension = entry.path().extension().string();
        if (!entry.is_regular_file() || (extension != ".h" && extension != ".cpp")) continue;
        found.push_back({entry.path().lexically_relative(root()).generic_string(),
                         read_text(entry.path())});
      }
    }
    std::ranges::sort(found, {}, &Source::path);
    return found;
  }();
  return all;
}

bool is_below(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

/// The row of the picture that `path` belongs to: the longest folder that is above it.
const Direction* row_of(std::string_view path) {
  const Direction* best = nullptr;
  for (const Direction& row : picture()) {
    if (is_below(path, row.folder) && (best == nullptr || row.folder.size() > best->folder.size())) {
      best = &row;
    }
  }
  return best;
}

struct Include {
  bool quoted = false;
  std::string path;
};

std::vector<Include> includes_of(const Source& source) {
  static const std::regex directive{R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])"};
  std::vector<Include> found;
  std::istringstream lines{source.text};
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_search(line, match, directive)) {
      found.push_back({match[1].str() == "\"", match[2].str()});
    }
  }
  return found;
}

bool is_generated(std::string_view include) { return include.ends_with(".pb.h"); }

/// FOLDER/internal/: parts of that folder's .cpp files, no header for others.
bool is_internal(std::string_view path) { return path.find("/internal/") != std::string_view::npos; }

/// `text` with comments and the insides of string and character literals taken out; lines stay lines. A quote
/// between two digits or letters is a digit separator. Raw strings end at the first `)"`-like closing of their own.
std::string code_only(std::string_view text) {
  enum class In { Code, LineComment, BlockComment, String, Character };
  In in = In::Code;
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    switch (in) {
      case In::Code: {
        const bool after_word = i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0;
        if (c == 'R' && next == '"' && !after_word) {
          const std::size_t open = text.find('(', i);
          if (open == std::string_view::npos) return out;
          const std::string closing = ")" + std::string{text.substr(i + 2, open - i - 2)} + "\"";
          const std::size_t end = text.find(closing, open);
          if (end == std::string_view::npos) return out;
          i = end + closing.size() - 1;
        } else if (c == '/' && next == '/') {
          in = In::LineComment;
        } else if (c == '/' && next == '*') {
          in = In::BlockComment;
          ++i;
        } else if (c == '"') {
          in = In::String;
        } else if (c == '\'' && !after_word) {
          in = In::Character;
        } else {
          out += c;
        }
        break;
      }
      case In::LineComment:
        if (c == '\n') in = In::Code;
        break;
      case In::BlockComment:
        if (c == '*' && next == '/') {
          in = In::Code;
          ++i;
        }
        break;
      case In::String:
      case In::Character:
        if (c == '\\') {
          ++i;
        } else if (c == (in == In::String ? '"' : '\'')) {
          in = In::Code;
        }
        break;
    }
    if (c == '\n' && (out.empty() || out.back() != '\n')) out += '\n';
  }
  return out;
}

std::string listed(const std::vector<std::string>& findings) {
  std::string text;
  for (const std::string& finding : findings) text += "  " + finding + "\n";
  return text;
}

TEST(Layout, IncludesFollowThePicture) {
  std::vector<std::string> wrong;
  for (const Source& source : sources()) {
    const Direction* from = row_of(source.path);
    if (from == nullptr) {
      wrong.push_back(source.path + ": stands in no folder of the picture");
      continue;
    }
    for (const Include& include : includes_of(source)) {
      if (!include.quoted || is_generated(include.path)) continue;
      const Direction* to = row_of(include.path);
      if (to == nullptr) continue;  // IncludesStartAtTheRoot names it
      if (to == from || std::ranges::find(from->may_include, to->folder) != from->may_include.end()) continue;
      wrong.push_back(source.path + ": " + std::string{from->folder} + " may not include " + include.path);
    }
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, PictureHasNoCircle) {
  // Peel off the rows that include nothing that is left; a circle is what cannot be peeled. Tests stand outside.
  std::map<std::string_view, std::set<std::string_view>> left;
  for (const Direction& row : picture()) {
    left[row.folder] = {row.may_include.begin(), row.may_include.end()};
  }
  for (std::size_t round = 0; round < picture().size(); ++round) {
    for (auto row = left.begin(); row != left.end();) {
      const bool free = std::ranges::none_of(row->second, [&](std::string_view to) { return left.contains(to); });
      row = free ? left.erase(row) : std::next(row);
    }
  }
  EXPECT_TRUE(left.empty()) << "a circle goes through " << left.begin()->first;
}

TEST(Layout, TheTwoSidesDoNotSeeEachOtherAndTheAuditToolSeesNoKey) {
  const auto may = [](std::string_view from, std::string_view to) {
    const Direction* row = row_of(from);
    return std::ranges::find(row->may_include, to) != row->may_include.end();
  };
  EXPECT_FALSE(may("appliance/x.cpp", "station-agent"));
  EXPECT_FALSE(may("station-agent/x.cpp", "appliance"));
  for (const std::string_view key_folder : {"wrap/p11", "wrap/se", "appliance", "station-agent"}) {
    for (const std::string_view reader : {"token/x.cpp", "token/audit/x.cpp", "token/audit-tool/x.cpp"}) {
      EXPECT_FALSE(may(reader, key_folder)) << reader << " to " << key_folder;
    }
  }
}

TEST(Layout, TokenFoldersLinkNothingThatReachesAKey) {
  // The same rule on the link line, where an umbrella could bring in what no include shows.
  static const std::regex forbidden{R"(keyferry(::|_)(wrap|p11|se|appliance|station)\b)"};
  std::vector<std::string> wrong;
  for (const auto& entry : fs::recursive_directory_iterator{root() / "token"}) {
    if (entry.path().filename() != "CMakeLists.txt") continue;
    const std::string text = read_text(entry.path());
    for (std::sregex_iterator match{text.begin(), text.end(), forbidden}, end; match != end; ++match) {
      wrong.push_back(entry.path().lexically_relative(root()).generic_string() + ": " + match->str());
    }
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, IncludesStartAtTheRoot) {
  std::vector<std::string> wrong;
  for (const Source& source : sources()) {
    for (const Include& include : includes_of(source)) {
      const bool ours = row_of(include.path) != nullptr;
      if (!include.quoted && ours) {
        wrong.push_back(source.path + ": <" + include.path + "> is ours: use quotes");
      } else if (include.quoted && is_generated(include.path)) {
        const std::string stem = include.path.substr(0, include.path.size() - std::string_view{".pb.h"}.size());
        if (!fs::exists(root() / "proto" / (stem + ".proto"))) {
          wrong.push_back(source.path + ": no proto/" + stem + ".proto for " + include.path);
        }
      } else if (include.quoted && !fs::exists(root() / include.path)) {
        wrong.push_back(source.path + ": \"" + include.path + "\" is no file from the root");
      }
    }
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, ASourceIncludesItsOwnHeaderFirst) {
  std::vector<std::string> wrong;
  for (const Source& source : sources()) {
    if (!source.path.ends_with(".cpp")) continue;
    const std::string own = source.path.substr(0, source.path.size() - 4) + ".h";
    if (!fs::exists(root() / own)) continue;
    const std::vector<Include> includes = includes_of(source);
    if (includes.empty() || includes.front().path != own) wrong.push_back(source.path);
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, HeadersSayPragmaOnceAndHideGeneratedMessages) {
  std::vector<std::string> wrong;
  for (const Source& source : sources()) {
    if (!source.path.ends_with(".h")) continue;
    if (source.text.find("#pragma once") == std::string::npos) wrong.push_back(source.path + ": no #pragma once");
    if (is_internal(source.path) || source.path.starts_with("tests/")) continue;
    for (const Include& include : includes_of(source)) {
      if (is_generated(include.path)) wrong.push_back(source.path + ": " + include.path);
    }
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, InternalHeadersAreSeenByTheirOwnFolderAlone) {
  std::vector<std::string> wrong;
  for (const Source& source : sources()) {
    for (const Include& include : includes_of(source)) {
      if (!include.quoted || !is_internal(include.path)) continue;
      const std::string owner = include.path.substr(0, include.path.find("/internal/") + 1);
      if (!source.path.starts_with(owner) && !source.path.starts_with("tests/" + owner)) {
        wrong.push_back(source.path + ": " + include.path);
      }
    }
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, CryptokiIsSpokenOnlyInItsLayer) {
  static const std::regex cryptoki{R"(\bCK[A-Z]?_[A-Z][A-Z0-9_]*)"};
  std::vector<std::string> wrong;
  for (const Source& source : sources()) {
    if (std::ranges::any_of(kCryptokiFolders, [&](std::string_view f) { return is_below(source.path, f); })) continue;
    for (const Include& include : includes_of(source)) {
      if (!include.quoted && include.path.find("pkcs11") != std::string::npos) {
        wrong.push_back(source.path + ": includes <" + include.path + ">");
      }
    }
    const std::string code = code_only(source.text);
    std::smatch match;
    if (std::regex_search(code, match, cryptoki)) wrong.push_back(source.path + ": " + match.str());
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, TopLevelHasOnlyWhatIsOnTheList) {
  std::vector<std::string> wrong;
  for (const auto& entry : fs::directory_iterator{root()}) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && std::ranges::find(kTopLevel, name) == kTopLevel.end()) wrong.push_back(name);
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

TEST(Layout, EachCutPointHasANameOfItsOwn) {
  static const std::regex use{R"(\bKF_CUT\s*\(\s*([^)]*)\))"};
  static const std::regex literal{R"re("([a-z][a-z0-9-]*(\.[a-z0-9_-]+)+)"\s*)re"};
  std::map<std::string, std::string> first_seen;
  std::vector<std::string> wrong;
  for (const Source& source : sources()) {
    if (source.path == "wrap/base/cut.h" || source.path == "tests/layout/layout_test.cpp") continue;
    for (std::sregex_iterator match{source.text.begin(), source.text.end(), use}, end; match != end; ++match) {
      const std::string argument = (*match)[1].str();
      std::smatch name;
      if (!std::regex_match(argument, name, literal)) {
        wrong.push_back(source.path + ": KF_CUT(" + argument + ") is not a literal program.place");
        continue;
      }
      const auto [earlier, is_new] = first_seen.emplace(name[1].str(), source.path);
      if (!is_new) wrong.push_back(source.path + ": " + earlier->first + " is also in " + earlier->second);
    }
  }
  EXPECT_TRUE(wrong.empty()) << listed(wrong);
}

/// Names in back quotes: `Suite.Test`, `file.py: test_name`, `file.py`. A line may break behind the colon.
std::vector<std::string> tests_named_in(const std::string& text) {
  static const std::regex kName{"`([A-Za-z0-9]+\\.[A-Za-z0-9]+|[a-z_0-9]+_test\\.py(:\\s+test_[a-z_0-9]+)?)`"};
  std::vector<std::string> names;
  for (std::sregex_iterator it{text.begin(), text.end(), kName}, end; it != end; ++it) names.push_back((*it)[1]);
  return names;
}

/// Every test of the tree, in the form that tests_named_in() gives.
std::set<std::string> tests_there() {
  static const std::regex kGoogle{"TEST(?:_F|_P)?\\((\\w+),\\s*(\\w+)\\)"};
  static const std::regex kPython{"def (test_\\w+)"};
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator{root() / "tests"}) {
    const std::string file = entry.path().filename().string();
    if (!entry.is_regular_file() || (!file.ends_with(".cpp") && !file.ends_with(".py"))) continue;
    const std::string text = read_text(entry.path());
    const bool python = file.ends_with(".py");
    if (python) names.insert(file);
    for (std::sregex_iterator it{text.begin(), text.end(), python ? kPython : kGoogle}, end; it != end; ++it) {
      names.insert(python ? file + ": " + (*it)[1].str() : (*it)[1].str() + "." + (*it)[2].str());
    }
  }
  return names;
}

TEST(Assurance, NamesTestsThatExist) {
  const std::set<std::string> there = tests_there();
  const std::vector<std::string> named = tests_named_in(read_text(root() / "deploy" / "assurance.md"));
  EXPECT_GT(named.size(), 50U);
  for (std::string name : named) {
    name = std::regex_replace(name, std::regex{"\\s+"}, " ");
    EXPECT_TRUE(there.contains(name)) << name;
  }
}

TEST(LayoutReader, LeavesCommentsAndLiteralsOutOfTheCode) {
  const std::string code = code_only("a /* CK_RV */ \"CK_RV \\\" x\" 'C' 1'000 // CK_RV\nR\"x(CK_RV)\" )x\" b");
  EXPECT_EQ(code.find("CK_RV"), std::string::npos);
  EXPECT_NE(code.find("1'000"), std::string::npos);
  EXPECT_EQ(code.back(), 'b');
}

TEST(LayoutReader, FindsTheRowByTheLongestFolder) {
  EXPECT_EQ(row_of("token/audit/tree.h")->folder, "token/audit");
  EXPECT_EQ(row_of("token/audit-tool/main.cpp")->folder, "token/audit-tool");
  EXPECT_EQ(row_of("token/container.h")->folder, "token");
  EXPECT_EQ(row_of("tokens/container.h"), nullptr);
  EXPECT_EQ(row_of("wrap/other/x.h"), nullptr);
}

}  // namespace
