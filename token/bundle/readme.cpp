#include "token/bundle/readme.h"

#include <fmt/format.h>

namespace keyferry::bundle {

Bytes readme(const Index& index) {
  const std::string scope =
      index.scope.kind == ScopeKind::All
          ? std::string{"everything"}
          : fmt::format("{} {}", name_of(index.scope.kind), index.scope.value);
  return to_bytes(as_bytes(fmt::format(
      R"(Evidence of a keyferry appliance

log           {}
environment   {}
shows         {}
up to         {}, {} leaves
root          {}

Check it on a machine of your own:

    keyferry-audit verify DIR --fingerprint "WORDS" [--challenge "YOUR WORDS"]

WORDS are the eight words that stood on the appliance's first screen when it was set up, and in the transcript of that
ceremony. Have them from somebody who was there, or from paper: never from this folder. Without --challenge nothing shows
that this bundle is the newest one.

What is here
  index.json            every file with its size and SHA-256; proves nothing by itself
  card.kf               the appliance's public keys, signed by its log key
  checkpoints/          size and root of the log after each operation, signed in the HSM (C2SP signed-note)
  tile/                 the log's hash tree (C2SP tlog-tiles); tile/entries/ the leaves, where all of them are shown
  leaves/               the leaves that are shown, where others are hashes only
  plans/, approvals/    what officers decided, and their signatures
  batches/              for each batch: manifest as sealed, certificates, receipts
  authorities/, crls/   certificates of CAs, revocation lists
  stations/             logs of the stations whose receipts came home
  custody/              who gave which token to whom, signed by those who were there
  transcripts/          ceremonies
  keys.json             the keys of the HSM, as the leaves tell

Formats: token/bundle/FORMAT.md and token/audit/FORMAT.md of the sources. Nothing here is secret to whoever may have it;
no key, wrapped or not, is in it, and persons are numbers but for the transcripts.

Written by keyferry {} (SHA-256 {}): that is what the program said of itself.
)",
      index.origin,
      token::name_of(index.environment),
      scope,
      to_rfc3339(index.last_leaf),
      index.log_size,
      index.root.hex(),
      index.software_version,
      index.software_sha256.hex())));
}

}  // namespace keyferry::bundle
