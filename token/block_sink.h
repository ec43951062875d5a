// Gathers octets into blocks of 256 KiB, so that a file is written in whole pages: a container's
// chunks are 16 octets longer than pages are, and each write of one would touch a page twice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

#include "wrap/base/bytes.h"

namespace keyferry::token {

class BlockSink {
 public:
  static constexpr std::size_t kBlockBytes = 256U << 10;

  explicit BlockSink(std::function<void(ByteView)> out) : out_{std::move(out)} {
    block_.reserve(kBlockBytes);
  }

  void write(ByteView octets) {
    while (!octets.empty()) {
      const std::size_t part = std::min(octets.size(), kBlockBytes - block_.size());
      append(block_, octets.first(part));
      octets = octets.subspan(part);
      if (block_.size() == kBlockBytes) flush();
    }
  }

  /// What is gathered, at the end: nothing leaves by itself.
  void flush() {
    if (!block_.empty()) out_(block_);
    block_.clear();
  }

 private:
  std::function<void(ByteView)> out_;
  Bytes block_;
};

}  // namespace keyferry::token
