// keyferry-vse atecc608 as a person starts it: chips behind sockets, killed and started again.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "tests/support/temp_folder.h"
#include "tests/vse/atecc608/maker.h"
#include "tests/vse/test/atecc608_host.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/process.h"

namespace keyferry::vse::atecc608 {
namespace {

namespace fs = std::filesystem;

class Atecc608Program : public testing::Test {
 protected:
  static Child start(std::vector<std::string> arguments, int output) {
    arguments.insert(arguments.begin(), "atecc608");
    ChildSpec spec;
    spec.program = fs::path{KEYFERRY_BIN_DIR} / "keyferry-vse";
    spec.arguments = std::move(arguments);
    spec.descriptors = {{output, 1}};
    spec.dies_with_parent = true;
    return Child{spec};
  }

  /// Starts it and waits for its first line.
  Child serve(const std::vector<std::string>& arguments) {
    auto [ours, theirs] = socket_pair();
    Child child = start(arguments, theirs.get());
    theirs.reset();
    line_.clear();
    for (char c = 0; read(ours.get(), &c, 1) == 1 && c != '\n';) line_ += c;
    return child;
  }

  static Fd connect_unix(const fs::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    Fd fd{socket(AF_UNIX, SOCK_STREAM, 0)};
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  static Fd connect_tcp(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    Fd fd{socket(AF_INET, SOCK_STREAM, 0)};
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  /// The reply, or "closed".
  static std::string ask(const Fd& fd, const Bytes& packet) {
    Bytes octets{0x03};
    append(octets, packet);
    write_all(fd, octets, "the chip");
    Bytes reply(1);
    if (recv(fd.get(), reply.data(), 1, MSG_WAITALL) != 1) return "closed";
    reply.resize(reply[0]);
    const ssize_t rest = recv(fd.get(), reply.data() + 1, reply.size() - 1, MSG_WAITALL);
    return rest == static_cast<ssize_t>(reply.size()) - 1 ? to_hex(reply) : "cut";
  }

  [[nodiscard]] std::vector<std::string> one_chip(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"--unix",
                                       (folder_ / "chip.sock").string(),
                                       "--state",
                                       (folder_ / "chip.state").string(),
                                       "--config",
                                       kVectorFolder + "example-configuration.hex"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  test::TempFolder folder_;
  std::string line_;
};

TEST_F(Atecc608Program, ServesAChipWhoseCellsOutliveIt) {
  {
    const Child server = serve(one_chip());
    EXPECT_EQ(line_, "listening unix:" + (folder_ / "chip.sock").string());
    const Fd fd = connect_unix(folder_ / "chip.sock");
    EXPECT_EQ(ask(fd, command_packet(0x17, 0x00, 0x4CFB)), "04000340");
  }  // killed
  const Child server = serve(one_chip());
  const Fd fd = connect_unix(folder_ / "chip.sock");
  EXPECT_EQ(ask(fd, command_packet(0x17, 0x00, 0x4CFB)), "040f2342") << "locked already";
}

TEST_F(Atecc608Program, CutsThePowerWhereTheScriptSays) {
  const Child server = serve(one_chip({"--fault", "cut-after Lock"}));
  {
    const Fd fd = connect_unix(folder_ / "chip.sock");
    EXPECT_EQ(ask(fd, command_packet(0x17, 0x00, 0x4CFB)), "closed");
  }
  const Fd again = connect_unix(folder_ / "chip.sock");
  EXPECT_EQ(ask(again, command_packet(0x17, 0x00, 0x4CFB)), "040f2342");
}

TEST_F(Atecc608Program, ServesOnAFreePortOfTheLoopback) {
  save_memory(folder_ / "chip.state", prepared_memory());
  const Child server = serve({"--tcp", "0", "--state", (folder_ / "chip.state").string()});
  ASSERT_TRUE(line_.starts_with("listening tcp:127.0.0.1:")) << line_;
  const Fd fd = connect_tcp(static_cast<std::uint16_t>(std::stoi(line_.substr(24))));
  EXPECT_EQ(ask(fd, injection("checkmac_frame")), "04000340");
}

TEST_F(Atecc608Program, ServesAFolderOfBlankChips) {
  auto [ours, theirs] = socket_pair();
  Child maker = start({"make",
                       "--blank",
                       "--count",
                       "5",
                       "--folder",
                       (folder_ / "chips").string(),
                       "--config",
                       kVectorFolder + "example-configuration.hex"},
                      theirs.get());
  ASSERT_EQ(maker.wait(), 0);
  const Child server = serve({"--folder", (folder_ / "chips").string()});
  for (std::uint32_t number = 0; number < 5; ++number) {
    const fs::path state = state_file(folder_ / "chips", number);
    const auto memory = load_memory(state);
    ASSERT_TRUE(memory);
    EXPECT_FALSE(memory->config_locked());
    const Fd fd = connect_unix(socket_of(state));
    const std::string block = ask(fd, command_packet(0x02, 0x80, 0));
    EXPECT_EQ(block.substr(2, 8), to_hex(ByteView{memory->serial()}.first(4)));
  }
}

TEST_F(Atecc608Program, RefusesOrdersThatDoNotFit) {
  auto [ours, theirs] = socket_pair();
  const std::string state = (folder_ / "chip.state").string();
  const std::vector<std::vector<std::string>> wrong{
      {"--unix", (folder_ / "x.sock").string(), "--state", state},
      {"--state", state, "--config", kVectorFolder + "example-configuration.hex"},
      {"--unix",
       (folder_ / "x.sock").string(),
       "--state",
       state,
       "--config",
       kVectorFolder + "example-configuration.hex",
       "--fault",
       "explode"},
      {"--folder", folder_.path().string()},
      {"make",
       "--count",
       "1",
       "--folder",
       (folder_ / "chips").string(),
       "--config",
       kVectorFolder + "vectors.json",
       "--blank"},
  };
  for (const auto& arguments : wrong) EXPECT_EQ(start(arguments, theirs.get()).wait(), 2);
}

}  // namespace
}  // namespace keyferry::vse::atecc608
