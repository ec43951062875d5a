// A token that another process looks at: the front end's view of keyferry-token-reader. It can be read and not written.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "token/medium.h"

namespace keyferry::appliance {

class ReaderMedium final : public token::Medium {
 public:
  /// Starts keyferry-token-reader for this folder, in its sandbox; or, where a socket is named, asks the one that listens
  /// there under its own user, which serves the folder that it was started for. Error{Medium}: the folder is not there.
  /// Error{Channel}: the reader does not answer. program: keyferry-token-reader; nothing: beside this program.
  ReaderMedium(const std::filesystem::path& token,
               const std::optional<std::filesystem::path>& socket,
               const std::optional<std::filesystem::path>& program = {});
  ~ReaderMedium() override;

  [[nodiscard]] std::vector<token::MediumEntry> list(const std::string& folder, std::size_t max_entries) override;
  [[nodiscard]] std::optional<token::MediumEntry> look(const std::string& name) override;
  [[nodiscard]] std::unique_ptr<token::MediumFile> open(const std::string& name, token::ReadFrom from) override;
  [[nodiscard]] std::uint64_t free_bytes() override;

  /// Error{Internal}: nothing is written through the reader.
  void make_folder(const std::string& folder) override;
  [[nodiscard]] std::unique_ptr<token::MediumWriter> create(const std::string& name) override;
  void rename(const std::string& from, const std::string& to) override;
  void remove(const std::string& name) override;
  void sync_folder(const std::string& folder) override;
  void give_up(const std::string& why) override;

 private:
  class Link;
  std::shared_ptr<Link> link_;
};

}  // namespace keyferry::appliance
