// What each command of keyferry-station does, apart from its command line: opens home, store and
// identity, does the work, prints the result to stdout (text, or one JSON object) and progress to
// stderr. The result is the exit status.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "token/types.h"

namespace keyferry::station {

struct CommonOptions {
  std::filesystem::path home;
  bool json = false;
  int pin_fd = -1;  // -1: from the URI's pin-source, else asked on the terminal
};

struct InitOptions {
  std::string name;
  std::string site;
  std::string environment = "development";
  std::string hsm_uri;  // empty, or without a module: the embedded store beside the home
  std::filesystem::path softhsm2_conf;  // of an HSM that is a SoftHSM of its own
};

struct EnrolOptions {
  std::filesystem::path to;
  std::filesystem::path from;
  std::string fingerprint;
};

struct RunOptions {
  std::filesystem::path lanes;
  unsigned deadline_s = 30;
};

struct ReturnOptions {
  std::string batch;
  std::string confirm;
  unsigned person = 0;
  bool quarantine_doubtful = false;
};

struct LabelOptions {
  std::string se;  // serial as `status` and `run` show it, or in hex
  std::filesystem::path text, png;  // neither: the text on stdout
};

struct DeclarationOptions {
  std::string batch;
  std::filesystem::path to;  // empty: it is shown only
};

int command_init(const CommonOptions& common, const InitOptions& options);
int command_enrol(const CommonOptions& common, const EnrolOptions& options);
int command_load(const CommonOptions& common, const std::filesystem::path& token);
int command_run(const CommonOptions& common, const RunOptions& options);
int command_return(const CommonOptions& common, const ReturnOptions& options);
int command_status(const CommonOptions& common);
/// The sticker of an SE in quarantine, as text and as a picture with QR code.
int command_label(const CommonOptions& common, const LabelOptions& options);
/// The product's Certification Declaration that came with a batch: shown, and written out.
int command_declaration(const CommonOptions& common, const DeclarationOptions& options);
/// from: position in the log, to hand out again what was handed out before.
int command_unload(const CommonOptions& common, const std::filesystem::path& token, std::optional<std::uint64_t> from);

/// The error on stderr (`keyferry-station: TEXT`, `hint: ...`), with --json also as an object on
/// stdout (schema keyferry.station.error.v1).
void print_error(const CommonOptions& common,
                 const std::string& text,
                 const std::string& hint,
                 const std::string& code);

}  // namespace keyferry::station
