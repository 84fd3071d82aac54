/*
 * The extension as this database has it: pg_extension's row, and whether this library serves that
 * version (core/versions.hpp).
 */
#pragma once

#include "core/versions.hpp"

#include "pg/headers.hpp"

namespace dw::store {

constexpr Size kVersionSize = 64;

struct InstalledExtension {
  Oid oid; /* InvalidOid: it is not here */
  core::VersionFit fit;
  char version[kVersionSize]; /* cut when longer */

  [[nodiscard]] bool is_here() const { return OidIsValid(oid); }
  [[nodiscard]] bool fits() const { return is_here() && fit == core::VersionFit::fits; }
};

/* Read from the catalog each time; needs a transaction. */
InstalledExtension installed_extension();

/* Reports DW007 that library and SQL do not fit, with both versions and what to do; does not return
 * when `level` is ERROR. */
void report_misfit(int level, const InstalledExtension& extension);

/* Raises DW007: the extension is not here, or is of a version that this library does not serve. */
[[noreturn]] void raise_not_served();

}  // namespace dw::store
