#include "store/extension.hpp"

#include "pg/error.hpp"

namespace dw::store {

namespace {

constexpr char kExtension[] = "durable_work";

void copy_version(InstalledExtension* found, Relation catalog, HeapTuple row) {
  bool null = true;
  const Datum version =
      heap_getattr(row, Anum_pg_extension_extversion, RelationGetDescr(catalog), &null);
  if (!null) strlcpy(found->version, TextDatumGetCString(version), kVersionSize);
}

const char* what_to_do(core::VersionFit fit) {
  switch (fit) {
    case core::VersionFit::sql_is_older:
      return "Run ALTER EXTENSION durable_work UPDATE in this database.";
    case core::VersionFit::sql_is_newer:
      return "Restart the server if the newer version's files are installed; if not, install them "
             "first.";
    default:
      return "Install the files of one version, restart the server, and run ALTER EXTENSION "
             "durable_work UPDATE in this database.";
  }
}

}  // namespace

InstalledExtension installed_extension() {
  InstalledExtension found{};
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
              CStringGetDatum(kExtension));
  const Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
  SysScanDesc const scan =
      systable_beginscan(catalog, ExtensionNameIndexId, true, nullptr, 1, &key);
  HeapTuple const row = systable_getnext(scan);
  if (HeapTupleIsValid(row)) {
    found.oid = reinterpret_cast<Form_pg_extension>(GETSTRUCT(row))->oid;
    copy_version(&found, catalog, row);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  found.fit = core::judge_version(found.version);
  return found;
}

void report_misfit(int level, const InstalledExtension& extension) {
  pg::report(level, DW_NOT_READY, "library and SQL versions of durable_work do not fit",
             psprintf("The library that the server has loaded is of version %s, the extension in "
                      "database \"%s\" of version %s.",
                      DW_VERSION, get_database_name(MyDatabaseId), extension.version),
             what_to_do(extension.fit));
}

void raise_not_served() {
  const InstalledExtension extension = installed_extension();
  if (extension.is_here() && !extension.fits()) report_misfit(ERROR, extension);
  pg::raise(DW_NOT_READY, "extension durable_work is not installed in this database", nullptr,
            "Run CREATE EXTENSION durable_work.");
}

}  // namespace dw::store
