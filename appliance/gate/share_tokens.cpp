#include "appliance/gate/share_tokens.h"

#include <botan/mem_ops.h>
#include <fmt/format.h>

#include "wrap/base/process.h"
#include "wrap/base/secret_frame.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr int kShareFd = 3;

/// keyferry-share-token with our end of its socket pair.
struct ShareToken {
  ShareToken(std::vector<std::string> arguments, const std::string& uri) : where{printable(uri)} {
    auto [mine, theirs] = socket_pair();
    child = Child{ChildSpec{.program = sibling_program("keyferry-share-token"),
                            .arguments = std::move(arguments),
                            .descriptors = {{theirs.get(), kShareFd}},
                            .environment = {}}};
    ours = std::move(mine);
  }

  void end() {
    ours.reset();
    if (const int status = child.wait(); status != 0) {
      throw Error{Code::Refused, fmt::format("the custodian's token {} did not take or give its share", where),
                  "its program said why above; nothing was changed in the HSM"};
    }
  }

  std::string where;
  Fd ours;
  Child child;
};

ShareFile parsed(const SecretBytes& text, const std::string& where) {
  auto file = parse_share_text(text);
  if (const auto* refusal = std::get_if<Refusal>(&file)) throw Error{Code::Refused, where + ": " + refusal->text, refusal->hint};
  return std::get<ShareFile>(std::move(file));
}

}  // namespace

std::string share_label(const std::string& appliance, ShareKind kind) {
  return fmt::format("kf-share/{}/{}", appliance, share_kind_word(kind));
}

ShareFile put_token_share(const std::string& uri, const std::string& appliance, ShareKind kind, const SecretBytes& text,
                          const Bytes& keep) {
  ShareToken token{{"put", "--uri", uri, "--label", share_label(appliance, kind), "--keep", to_hex(keep)}, uri};
  write_secret_frame(token.ours, text, kMaxShareFileBytes);
  auto back = read_secret_frame(token.ours.get(), kMaxShareFileBytes);
  token.end();
  if (!back || back->size() != text.size() ||
      !Botan::constant_time_compare(back->expose().data(), text.expose().data(), text.size())) {
    throw Error{Code::Storage, "what was read back from token " + token.where + " is not what was written",
                "use another token, and give the same command again"};
  }
  return parsed(*back, token.where);
}

std::vector<ShareFile> get_token_shares(const std::string& uri, const std::string& appliance, ShareKind kind) {
  ShareToken token{{"get", "--uri", uri, "--label", share_label(appliance, kind)}, uri};
  std::vector<ShareFile> shares;
  while (const auto text = read_secret_frame(token.ours.get(), kMaxShareFileBytes)) shares.push_back(parsed(*text, token.where));
  token.end();
  return shares;
}

}  // namespace keyferry::appliance
