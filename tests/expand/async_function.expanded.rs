impl Account {
    pub async fn deposit(&self, amount: u64) -> Result<(), memlock::Error> {
        use ::memlock::__private as __memlock;
        let __memlock_return = __memlock::Return::<Result<(), memlock::Error>>::new();
        let __memlock_entering = __memlock_return
            .__memlock_enter_async(
                __memlock::Options::lock(
                        ::core::concat!(::core::module_path!(), "::deposit"),
                    )
                    .timeout(__memlock::Duration::from_secs(30)),
                [__memlock::key(&::core::format_args!("account/{}", self.id))],
            );
        __memlock_entering
            .run(
                __memlock_return.__memlock_ending(),
                async move {
                    if false {
                        return __memlock_return.__memlock_value(());
                    }
                    { self.store(self.load().await? + amount).await }
                },
            )
            .await
    }
}
async fn borrowed(cell: &RefCell<u8>) -> Ref<'_, u8> {
    use ::memlock::__private as __memlock;
    let __memlock_return = __memlock::Return::<Ref<'_, u8>>::new();
    let __memlock_entering = __memlock_return
        .__memlock_enter_async(
            __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::borrowed"),
                )
                .name("borrowed"),
            [__memlock::key("")],
        );
    __memlock_entering
        .run(
            __memlock_return.__memlock_ending(),
            async move {
                if false {
                    return __memlock_return.__memlock_value(());
                }
                { cell.borrow() }
            },
        )
        .await
}
async fn hidden() -> impl Iterator<Item = u8> {
    use ::memlock::__private as __memlock;
    let __memlock_entering = __memlock::Return::<__memlock::Opaque>::new()
        .__memlock_enter_async(
            __memlock::Options::lock(::core::concat!(::core::module_path!(), "::hidden"))
                .name("hidden"),
            [__memlock::key("")],
        );
    __memlock_entering.run(__memlock::DetachRelease, async move { find().await }).await
}
async fn lead() -> ! {
    use ::memlock::__private as __memlock;
    let __memlock_entering = __memlock::Return::<__memlock::Opaque>::new()
        .__memlock_enter_async(
            __memlock::Options::lock(::core::concat!(::core::module_path!(), "::lead"))
                .name("leader")
                .renew(),
            [__memlock::key("")],
        );
    __memlock_entering
        .run(
            __memlock::DetachRelease,
            async move {
                loop {
                    work().await;
                }
            },
        )
        .await
}
