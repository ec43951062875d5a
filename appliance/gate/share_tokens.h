// Shares in custodians' own PKCS#11 tokens, by the program keyferry-share-token: it loads the module, so that the gate need
// not. A share goes in and out by a socket pair that the gate made, never in argv or environment; the custodian's PIN is
// asked for by that program on the terminal (or pin-source=file: of the URI).
#pragma once

#include <string>
#include <vector>

#include "appliance/gate/share_files.h"

namespace keyferry::appliance {

/// "kf-share/NAME/user-pin"
[[nodiscard]] std::string share_label(const std::string& appliance, ShareKind kind);

/// Stores `text` beside what is there of set `keep` (may be empty) and removes shares of other sets; then logs in anew,
/// reads back and compares. What was read back.
[[nodiscard]] ShareFile put_token_share(const std::string& uri, const std::string& appliance, ShareKind kind,
                                        const SecretBytes& text, const Bytes& keep);

/// Every share of the appliance and kind in the token, in the module's order.
[[nodiscard]] std::vector<ShareFile> get_token_shares(const std::string& uri, const std::string& appliance, ShareKind kind);

}  // namespace keyferry::appliance
