#include "wrap/label/picture.h"

#include <png.h>

#include <cstring>

#include "wrap/base/error.h"

namespace keyferry::label {
namespace {

constexpr std::size_t kMostPixels = 4096;
constexpr std::uint8_t kWhite = 255;

}  // namespace

Picture::Picture(std::size_t width, std::size_t height) : width_{width}, height_{height} {
  if (width == 0 || height == 0 || width > kMostPixels || height > kMostPixels) {
    throw Error{Code::InvalidArgument, "a picture is of 1 to 4,096 pixels each way"};
  }
  pixels_.assign(width * height, kWhite);
}

void Picture::fill(std::size_t left, std::size_t top, std::size_t size) {
  for (std::size_t y = top; y < top + size && y < height_; ++y) {
    for (std::size_t x = left; x < left + size && x < width_; ++x) pixels_[y * width_ + x] = 0;
  }
}

void Picture::draw(const std::vector<std::vector<bool>>& modules,
                   std::size_t left,
                   std::size_t top,
                   std::size_t scale) {
  for (std::size_t row = 0; row < modules.size(); ++row) {
    for (std::size_t column = 0; column < modules[row].size(); ++column) {
      if (modules[row][column]) fill(left + column * scale, top + row * scale, scale);
    }
  }
}

void Picture::write(std::string_view text, std::size_t left, std::size_t top, std::size_t scale) {
  for (const char letter : text) {
    const auto& rows = glyph(letter);
    for (std::size_t row = 0; row < std::size(rows); ++row) {
      for (std::size_t column = 0; column < 5; ++column) {
        if ((rows[row] >> (4 - column) & 1U) != 0)
          fill(left + column * scale, top + row * scale, scale);
      }
    }
    left += kGlyphWidth * scale;
  }
}

Bytes Picture::png() const {
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width_);
  image.height = static_cast<png_uint_32>(height_);
  image.format = PNG_FORMAT_GRAY;
  // libpng-manual.txt section V: PNG_IMAGE_PNG_SIZE_MAX bounds what a row-wise writer needs.
  Bytes octets(PNG_IMAGE_PNG_SIZE_MAX(image));
  png_alloc_size_t size = octets.size();
  if (png_image_write_to_memory(&image, octets.data(), &size, 0, pixels_.data(), 0, nullptr) == 0) {
    throw Error{Code::Internal, std::string{"libpng made no picture: "} + image.message};
  }
  octets.resize(size);
  return octets;
}

}  // namespace keyferry::label
