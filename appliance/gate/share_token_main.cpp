// keyferry-share-token: puts one share into a custodian's own PKCS#11 token, or reads it from there. Started by
// keyferry-hsm-gate alone, with a socket to it as descriptor 3: the share's text comes and goes there.
#include <botan/mem_ops.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "appliance/gate/hardening.h"
#include "appliance/gate/shares.h"
#include "wrap/base/process.h"
#include "wrap/base/process_end.h"
#include "wrap/base/secret_frame.h"
#include "wrap/base/text.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"

namespace {

using namespace keyferry;             // NOLINT(google-build-using-namespace): a main of its own
using namespace keyferry::appliance;  // NOLINT(google-build-using-namespace)

constexpr int kGateFd = 3;

struct Options {
  std::string uri;
  std::string label;
  std::string keep;  // set id in hex whose share stays
};

p11::Template search(const std::string& label) {
  return p11::Template{}.object_class(p11::ObjectClass::Data).token(true).label(label);
}

/// A share is a secret, also on its way from a token.
std::optional<SecretBytes> value_of(p11::Session& session, p11::ObjectHandle object) {
  auto value = session.read_bytes(object, p11::Attribute::Value);
  if (!value) return std::nullopt;
  SecretBytes text = SecretBytes::copy_of(value.value);
  Botan::secure_scrub_memory(value.value.data(), value.value.size());
  return text;
}

std::string set_of(const SecretBytes& text) {
  const auto parsed = parse_share_text(text);
  const auto* file = std::get_if<ShareFile>(&parsed);
  return file == nullptr ? std::string{} : to_hex(file->check_value);
}

/// The custodian's login, for one conversation.
class CustodianToken {
 public:
  explicit CustodianToken(const std::string& text) : uri_{p11::uri_or_throw(text)} {
    if (!uri_.module_path) throw Error{Code::Usage, "the token's URI names no module-path", "add module-path=/path/of/module.so"};
    module_ = std::make_unique<p11::Module>(*uri_.module_path, p11::CallsFrom::OneThread);
    token_ = module_->find_token(uri_);
    const auto file = p11::pin_file(uri_);
    pin_ = file ? read_secret_file(*file) : prompt_secret(fmt::format("PIN of token \"{}\": ", printable(token_.label)));
    log_in();
  }

  void log_in() {
    session_.reset();
    session_ = std::make_unique<p11::Session>(*module_, token_.slot, p11::Access::ReadWrite);
    session_->login_or_throw(p11::Role::User, pin_);
  }

  void log_out() { session_->logout(); }

  [[nodiscard]] p11::Session& session() { return *session_; }

 private:
  p11::Uri uri_;
  std::unique_ptr<p11::Module> module_;
  p11::TokenInfo token_;
  SecretBytes pin_;
  std::unique_ptr<p11::Session> session_;
};

int put(const Options& options) {
  const auto text = read_secret_frame(kGateFd, kMaxShareFileBytes);
  if (!text) throw Error{Code::Channel, "the gate sent no share"};
  CustodianToken token{options.uri};
  const std::string set = set_of(*text);
  std::vector<p11::ObjectHandle> old;
  for (const p11::ObjectHandle object : token.session().find(search(options.label))) {
    const auto found = value_of(token.session(), object);
    if (!found || set_of(*found) != options.keep || options.keep.empty()) old.push_back(object);
  }
  static_cast<void>(token.session().create_object(p11::Template{}
                                                      .object_class(p11::ObjectClass::Data)
                                                      .token(true)
                                                      .private_(true)
                                                      .label(options.label)
                                                      .application("keyferry")
                                                      .value(text->expose())));
  for (const p11::ObjectHandle object : old) token.session().destroy(object);
  token.log_out();
  token.log_in();
  for (const p11::ObjectHandle object : token.session().find(search(options.label))) {
    const auto found = value_of(token.session(), object);
    if (!found || set_of(*found) != set) continue;
    write_secret_frame(Fd{dup(kGateFd)}, *found, kMaxShareFileBytes);
    return 0;
  }
  throw Error{Code::Hsm, "the share that was just stored is not in the token any more"};
}

int get(const Options& options) {
  CustodianToken token{options.uri};
  unsigned found = 0;
  for (const p11::ObjectHandle object : token.session().find(search(options.label))) {
    const auto text = value_of(token.session(), object);
    if (!text || set_of(*text).empty()) continue;
    write_secret_frame(Fd{dup(kGateFd)}, *text, kMaxShareFileBytes);
    ++found;
  }
  if (found != 0) return 0;
  throw Error{Code::NotFound, fmt::format("the token holds no share under \"{}\"", printable(options.label)),
              "is it the token of this appliance's custodian?"};
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  CLI::App app{"keyferry-share-token: a share in a custodian's token; started by keyferry-hsm-gate"};
  Options options;
  bool puts = false;
  const auto add = [&](const char* name, const char* what, bool writes) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("--uri", options.uri, "RFC 7512, with module-path")->required();
    command->add_option("--label", options.label)->required();
    if (writes) command->add_option("--keep", options.keep, "set whose share stays in the token");
    command->callback([&puts, writes] { puts = writes; });
  };
  app.require_subcommand(1);
  add("put", "store the share that comes by descriptor 3, and read it back", true);
  add("get", "read the shares", false);
  CLI11_PARSE(app, argc, argv);
  try {
    terminate_with_parent();
    close_descriptors_but({kGateFd});
    return puts ? put(options) : get(options);
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-share-token: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-share-token: {}\n", error.what());
    return 70;
  }
}
