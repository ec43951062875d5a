// The real keyferry-token-reader in its sandbox, and the front end's view of a token through it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "appliance/reader/reader_medium.h"
#include "keyferry/v1/reader.pb.h"
#include "tests/support/temp_folder.h"
#include "token/transfer.h"
#include "wrap/base/frame.h"
#include "wrap/base/process.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

const fs::path kProgram = fs::path{KEYFERRY_BIN_DIR} / "keyferry-token-reader";

class TokenReader : public ::testing::Test {
 protected:
  TokenReader() { fs::create_directories(token()); }

  [[nodiscard]] fs::path token() const { return folder_ / "token"; }

  void put(const std::string& name, const std::string& content) {
    fs::create_directories((token() / name).parent_path());
    std::ofstream{token() / name} << content;
  }

  /// Text of the error that `act` ends with.
  template <typename Act>
  static std::string error_of(const Act& act) {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  test::TempFolder folder_;
};

TEST_F(TokenReader, ShowsWhatIsOnTheToken) {
  put("keyferry/one.kf", "first");
  put("keyferry/two.kf", std::string(3'000'000, 'x'));
  ReaderMedium medium{token(), std::nullopt, kProgram};
  const auto entries = medium.list("keyferry", 10);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].name, "one.kf");
  EXPECT_EQ(entries[1].size_bytes, 3'000'000U);
  const auto file = medium.open("keyferry/two.kf", token::ReadFrom::Device);
  ASSERT_NE(file, nullptr);
  Bytes octets(4'000'000);
  EXPECT_EQ(file->read_at(10, octets), 2'999'990U);
  EXPECT_EQ(octets[2'999'989], 'x');
  EXPECT_EQ(medium.open("keyferry/none.kf", token::ReadFrom::Cache), nullptr);
  EXPECT_FALSE(medium.look("keyferry/none.kf"));
  EXPECT_EQ(medium.look("keyferry")->kind, token::EntryKind::Folder);
  EXPECT_GT(medium.free_bytes(), 0U);
}

TEST_F(TokenReader, SaysThatThereIsNoToken) {
  EXPECT_NE(error_of([&] { ReaderMedium{token() / "none", std::nullopt, kProgram}; }).find("open token"), std::string::npos);
}

TEST_F(TokenReader, FollowsNoLinkAndKeepsToItsFolder) {
  std::ofstream{folder_ / "secret"} << "outside";
  put("keyferry/good.kf", "inside");
  fs::create_symlink(folder_ / "secret", token() / "keyferry" / "link.kf");
  ReaderMedium medium{token(), std::nullopt, kProgram};
  EXPECT_NE(error_of([&] { static_cast<void>(medium.open("keyferry/link.kf", token::ReadFrom::Cache)); }).find("symbolic link"),
            std::string::npos);
  EXPECT_NE(error_of([&] { static_cast<void>(medium.open("../secret", token::ReadFrom::Cache)); }), "");
  EXPECT_NE(medium.open("keyferry/good.kf", token::ReadFrom::Cache), nullptr) << "a refusal is not the end of the token";
}

TEST_F(TokenReader, WritesNothing) {
  ReaderMedium medium{token(), std::nullopt, kProgram};
  EXPECT_NE(error_of([&] { medium.make_folder("keyferry"); }), "");
  EXPECT_NE(error_of([&] { static_cast<void>(medium.create("a.kf")); }), "");
  EXPECT_NE(error_of([&] { medium.remove("a.kf"); }), "");
  EXPECT_TRUE(fs::is_empty(token()));
}

TEST_F(TokenReader, AnswersGarbageAndGoesOn) {
  put("a.kf", "a");
  auto [ours, theirs] = socket_pair();
  Child child{ChildSpec{.program = kProgram,
                        .arguments = {"--token", token().string()},
                        .descriptors = {{theirs.get(), 3}},
                        .environment = {}}};
  theirs = Fd{};
  const auto ask = [&, fd = ours.get()](const std::string& octets) {
    write_frame(fd, as_bytes(octets));
    v1::ReaderReply reply;
    const auto frame = read_frame(fd, std::chrono::seconds{20});
    EXPECT_TRUE(frame && reply.ParseFromArray(frame->data(), static_cast<int>(frame->size())));
    return reply;
  };
  EXPECT_TRUE(ask("\xff\xff\xff").has_error());
  EXPECT_TRUE(ask("").has_error());
  v1::ReaderRequest request;
  request.mutable_list()->set_max_entries(UINT64_MAX);
  EXPECT_TRUE(ask(request.SerializeAsString()).has_error());
  request.mutable_read()->set_file(7);
  EXPECT_TRUE(ask(request.SerializeAsString()).has_error());
  request.mutable_open()->set_name("a.kf");
  const auto file = ask(request.SerializeAsString()).opened().file();
  EXPECT_NE(file, 0U);
  request.mutable_read()->set_file(file);
  request.mutable_read()->set_size_bytes(UINT32_MAX);
  EXPECT_TRUE(ask(request.SerializeAsString()).has_error());
  for (int i = 0; i < 70; ++i) {
    request.mutable_open()->set_name("a.kf");
    static_cast<void>(ask(request.SerializeAsString()));
  }
  EXPECT_TRUE(ask(request.SerializeAsString()).has_error()) << "files that are open are bounded";
  request.mutable_look()->set_name("a.kf");
  EXPECT_EQ(ask(request.SerializeAsString()).entries().entries_size(), 1);
}

TEST_F(TokenReader, IsReachedAtASocket) {
  put("a.kf", "octets");
  const fs::path socket = folder_ / "reader.sock";
  Child child{ChildSpec{.program = kProgram,
                        .arguments = {"--token", token().string(), "--listen", socket.string()},
                        .descriptors = {},
                        .environment = {}}};
  for (int i = 0; i < 2'400 && !fs::exists(socket); ++i) std::this_thread::sleep_for(std::chrono::milliseconds{25});
  for (int round = 0; round < 2; ++round) {
    std::unique_ptr<ReaderMedium> medium;
    for (int i = 0; i < 2'400 && !medium; ++i) {
      if (error_of([&] { medium = std::make_unique<ReaderMedium>(token(), socket); }).empty()) break;
      std::this_thread::sleep_for(std::chrono::milliseconds{25});
    }
    ASSERT_NE(medium, nullptr);
    EXPECT_EQ(medium->list("", 5).size(), 1U);
  }
}

TEST_F(TokenReader, TakesAContainerSizedFileThroughCopyIn) {
  put("big.kf", std::string(2'500'000, 'y'));
  ReaderMedium medium{token(), std::nullopt, kProgram};
  const auto copied = token::copy_in(medium, "big.kf", folder_ / "copy", token::FileForm::Signed, 10);
  ASSERT_TRUE(std::holds_alternative<Refusal>(copied));
  EXPECT_EQ(std::get<Refusal>(copied).reason, "too-large");
}

}  // namespace
}  // namespace keyferry::appliance
