"""What arrives: generators and trace loaders, each giving a `RequestTable`."""
