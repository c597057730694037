{{ junk_identifiers('person') }}
