// What each command of keyferry-prepare does, apart from its command line. The result is the exit
// status.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace keyferry::prepare {

struct CommonOptions {
  std::filesystem::path home;
  bool json = false;
  int pin_fd = -1;  // -1: from the URI's pin-source, else asked on the terminal
};

struct InitOptions {
  std::string name;
  std::string environment = "development";
  std::string hsm_uri;  // empty: an embedded store beside the home
  std::filesystem::path softhsm2_conf;
};

struct AcceptOptions {
  std::filesystem::path order;
  std::string fingerprint;  // empty: asked on the terminal, once for each appliance
};

struct ChipOptions {
  std::string order;  // hex digits that one accepted order begins with; empty: there is one
  std::vector<std::string> chips;    // addresses
  std::filesystem::path chips_file;  // one address a line
};

struct ReceiptsOptions {
  std::string order;
  std::filesystem::path out;
};

int command_init(const CommonOptions& common, const InitOptions& options);
int command_accept(const CommonOptions& common, const AcceptOptions& options);
int command_atecc608(const CommonOptions& common, const ChipOptions& options);
int command_receipts(const CommonOptions& common, const ReceiptsOptions& options);
int command_status(const CommonOptions& common);

/// `keyferry-prepare: TEXT` and `hint: ...` on stderr, with --json also an object on stdout.
void print_error(const CommonOptions& common,
                 const std::string& text,
                 const std::string& hint,
                 const std::string& code);

}  // namespace keyferry::prepare
