#include "appliance/front/receipts_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/own_card.h"
#include "appliance/front/receipts_check.h"
#include "appliance/front/receipts_report.h"
#include "appliance/reader/reader_medium.h"
#include "keyferry/v1/gate.pb.h"
#include "token/layout.h"
#include "token/medium.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::string_view kReceiptsFolder = "keyferry/receipts/";

struct Copy {
  std::string name;                          // on the token
  std::filesystem::path path;                // below HOME/inbox
  std::optional<token::ReceiptsName> order;  // by station and position in its log
};

struct FileResult {
  std::string name = {};
  std::string result = {};  // "imported", "known", "refused"
  std::string station = {};
  std::uint32_t accepted = 0, incidents = 0;
  std::optional<Refusal> refusal = {};
};

/// One run over one token.
class Import {
 public:
  explicit Import(Context& context) : context_{context}, card_{own_card(context)} {}

  int run(const std::filesystem::path& folder) {
    copy_all(folder);
    finish_earlier();
    if (copies_.empty() && refused_.empty()) {
      throw to_error(Refusal{"receipts-absent",
                             fmt::format("there are no receipts on {}", folder.string()),
                             "`keyferry-station unload --to DIR` puts them there"});
    }
    for (const Copy& copy : copies_) take(copy);
    clear_inbox();
    report_refused_files(context_, refused_);
    return print();
  }

 private:
  // What an earlier run verified is carried out before anything new is judged.
  void finish_earlier() {
    if (const auto earlier = carry_out_staged(context_)) {
      context_.out().note(
          fmt::format("finished an import that was cut off: {} receipts", earlier->accepted));
    }
  }

  void clear_inbox() {
    std::error_code problem;
    std::filesystem::remove_all(context_.paths().inbox(), problem);
    if (problem)
      throw system_error(
          Code::Storage, "empty " + context_.paths().inbox().string(), problem.value());
  }

  void copy_all(const std::filesystem::path& folder) {
    clear_inbox();
    make_private_directory(context_.paths().inbox());
    context_.rest_gate();
    ReaderMedium medium{folder, context_.settings().reader_socket};
    const token::TokenListing listing = token::list_token(medium);
    for (const token::TokenFile& file : listing.files) {
      const auto* name = std::get_if<token::ReceiptsName>(&file.parsed);
      if (name != nullptr) copy(medium, file.name, *name);
    }
    for (const std::string& name : listing.strange) {
      if (name.starts_with(kReceiptsFolder)) {
        refuse(name,
               Refusal{"strange-file",
                       "it is no file of ours (a link, a folder, or another name): not looked at"});
      } else {
        context_.out().note("not ours, not looked at: " + name);
      }
    }
    if (listing.too_many)
      refuse(std::string{kReceiptsFolder},
             Refusal{"too-many-files", "the token holds too many files"});
    std::ranges::sort(copies_, {}, &Copy::order);
  }

  void copy(token::Medium& medium, const std::string& name, const token::ReceiptsName& parsed) {
    const auto path = context_.paths().inbox() / fmt::format("{:05}.kf", copies_.size());
    const auto copied =
        token::copy_in(medium, name, path, token::FileForm::Container, kMaxReceiptsBytes);
    KF_CUT("front.receipts.copied");
    if (const auto* refusal = std::get_if<Refusal>(&copied)) {
      refuse(name, *refusal);
    } else {
      copies_.push_back({name, path, parsed});
    }
  }

  void take(const Copy& copy) {
    const Fd file = open_regular_file(copy.path, Code::Storage);
    auto outlined = outline_receipts(context_.ledger(), file, card_);
    if (const auto* refused = std::get_if<RefusedReceipts>(&outlined))
      return refuse(copy.name, *refused);
    const auto& receipts = std::get<ReceiptsFile>(outlined);
    if (receipts.known) {
      results_.push_back({.name = copy.name, .result = "known", .station = receipts.station.name});
      return;
    }
    const auto key = content_key(receipts);
    if (const auto* refusal = std::get_if<Refusal>(&key))
      return refuse(copy.name, RefusedReceipts{*refusal});
    if (const auto refused = stage_receipts(context_.ledger(),
                                            file,
                                            receipts,
                                            std::get<token::ContentKey>(key),
                                            card_,
                                            context_.clock().now())) {
      return refuse(copy.name, *refused);
    }
    const auto import = carry_out_staged(context_);
    results_.push_back({.name = copy.name,
                        .result = "imported",
                        .station = receipts.station.name,
                        .accepted = import ? import->accepted : 0,
                        .incidents = import ? import->incidents : 0});
  }

  // The worker takes header, trailer and chunk hashes apart and checks the station's signature
  // itself before kf-inbox agrees on anything; what comes back opens this one container.
  std::variant<token::ContentKey, Refusal> content_key(const ReceiptsFile& receipts) {
    v1::GateRequest request;
    v1::InboxRequest& inbox = *request.mutable_inbox();
    inbox.set_header(to_string(receipts.outline.header_bytes));
    inbox.set_trailer(to_string(token::encode(receipts.outline.trailer)));
    for (const Digest& hash : receipts.outline.chunk_hashes) inbox.add_chunk_hashes(hash.str());
    KF_CUT("front.inbox.before");
    v1::GateReply reply = context_.gate().call(std::move(request));
    KF_CUT("front.inbox.opened");
    if (!reply.has_inbox_key())
      throw Error{Code::Channel, "the gate did not answer with a content key"};
    v1::InboxKey& answer = *reply.mutable_inbox_key();
    token::ContentKey key{SecretBytes::copy_of(as_bytes(answer.content_key())),
                          to_bytes(as_bytes(answer.nonce_prefix()))};
    std::ranges::fill(*answer.mutable_content_key(), '\0');
    if (key.key.size() != 32 || key.nonce_prefix.size() != token::kNoncePrefixBytes) {
      return Refusal{"content-key", "the HSM gave no content key for it"};
    }
    return key;
  }

  void refuse(const std::string& name, const Refusal& refusal) {
    refused_.push_back({name, refusal});
    results_.push_back({.name = name, .result = "refused", .refusal = refusal});
  }

  void refuse(const std::string& name, const RefusedReceipts& refused) {
    if (refused.incident) report_incident(context_, *refused.incident);
    refuse(name, refused.refusal);
    if (refused.incident) results_.back().incidents = 1;
  }

  int print() {
    Json files = Json::array();
    std::vector<std::string> lines;
    std::uint64_t accepted = 0, incidents = 0;
    for (const FileResult& result : results_) {
      accepted += result.accepted;
      incidents += result.incidents;
      const std::string name = printable(result.name);
      Json file{{"name", name},
                {"result", result.result},
                {"station", result.station},
                {"accepted", result.accepted},
                {"incidents", result.incidents}};
      if (result.refusal) {
        file["reason"] = result.refusal->reason;
        file["text"] = printable(result.refusal->text);
        lines.push_back(fmt::format(
            "{}: refused ({}): {}", name, result.refusal->reason, printable(result.refusal->text)));
        if (!result.refusal->hint.empty()) lines.push_back("hint: " + result.refusal->hint);
      } else if (result.result == "known") {
        lines.push_back(fmt::format("{}: taken in before, nothing changed", name));
      } else {
        lines.push_back(fmt::format(
            "{}: {} receipts accepted, {} incidents", name, result.accepted, result.incidents));
      }
      files.push_back(std::move(file));
    }
    context_.out().result("receipts",
                          Json{{"accepted", accepted},
                               {"incidents", incidents},
                               {"refused", refused_.size()},
                               {"files", std::move(files)}},
                          lines);
    return refused_.empty() && incidents == 0 ? 0 : 1;
  }

  Context& context_;
  token::ApplianceCard card_;
  std::vector<Copy> copies_;
  std::vector<RefusedFile> refused_;
  std::vector<FileResult> results_;
};

}  // namespace

int import_receipts(Context& context, const std::filesystem::path& token) {
  return Import{context}.run(token);
}

}  // namespace keyferry::appliance
